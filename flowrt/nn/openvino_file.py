"""What an OpenVINO IR says of itself, read without the engine: the network is XML, the weights are one file beside it.

Format: OpenVINO IR versions 10 and 11. Layers of type Parameter are inputs, of type Result outputs, of type Const
weights, with an offset and a size in the weights' file.
"""

from __future__ import annotations

import re
from collections import Counter
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from flowrt.nn.backend import Slot
from flowrt.nn.described import Described
from flowrt.nn.faults import ModelFault

TYPES = {
    "f16": "f16", "f32": "f32", "f64": "f64", "bf16": "bf16", "u8": "u8", "i8": "i8", "u16": "u16", "i16": "i16",
    "u32": "u32", "i32": "i32", "u64": "u64", "i64": "i64", "boolean": "bool", "string": "string",
}  # fmt: skip
"""By OpenVINO's short name, in the file and in the engine."""
_MAX_XML = 256 * 2**20
_MAX_ELEMENTS = 2_000_000


def read(xml: bytes, weights: bytes, label: str) -> Described:
    """Raises `ModelFault`: `invalid-encoding` for what is no IR, `security` for one that declares entities."""
    root = _parse(xml, label)
    layers = list(root.iter("layer"))
    by_id = {layer.get("id"): layer for layer in layers}
    feeds = {(edge.get("to-layer"), edge.get("to-port")): edge for edge in root.iter("edge")}
    inputs = tuple(_slot(layer, label) for layer in layers if layer.get("type") == "Parameter")
    outputs = tuple(_result(layer, by_id, feeds, label) for layer in layers if layer.get("type") == "Result")
    if not outputs:
        raise ModelFault("invalid-encoding", f"'{label}' is no OpenVINO model: it has no layer of type Result")
    sizes: Counter[str] = Counter()
    for layer in layers:
        if layer.get("type") == "Const":
            data = layer.find("data")
            kind = "?" if data is None else data.get("element_type", "?")
            sizes[TYPES.get(kind, kind)] += _const(layer, len(weights), label)
    return Described(
        inputs,
        outputs,
        version=f"IR version {root.get('version', '?')}",
        operators=Counter(_type(layer) for layer in layers if layer.get("type") not in _ENDS),
        weights=sizes,
    )


_ENDS = {"Parameter", "Result", "Const"}


def _type(layer: Element) -> str:
    return (layer.get("type") or "?")[:100]


class _Counting(TreeBuilder):
    """A tree with a bound on its elements: each takes a hundred times its text."""

    _left = _MAX_ELEMENTS

    def start(self, tag: str, attrs: dict[str, str], /) -> Element:
        self._left -= 1
        if self._left < 0:
            raise OverflowError
        return super().start(tag, attrs)


def _parse(xml: bytes, label: str) -> Element:
    if len(xml) > _MAX_XML:
        raise ModelFault("too-large", f"'{label}': a network of {len(xml)} bytes; at most {_MAX_XML}")
    if b"<!DOCTYPE" in xml or b"<!ENTITY" in xml:
        raise ModelFault("security", f"'{label}' declares XML entities, which no model needs")
    builder = _Counting()
    parser = XMLParser(target=builder)  # noqa: S314 entities are refused, elements are bounded
    try:
        parser.feed(xml)
        root = parser.close()
    except ParseError as bad:
        raise ModelFault("invalid-encoding", f"'{label}' is no OpenVINO model: {bad}") from None
    except OverflowError:
        raise ModelFault("too-large", f"'{label}' has more than {_MAX_ELEMENTS} XML elements") from None
    if root.tag != "net":
        raise ModelFault("invalid-encoding", f"'{label}' is no OpenVINO model: its XML is not a net")
    return root


def _slot(layer: Element, label: str) -> Slot:
    """A Parameter."""
    data, port = layer.find("data"), layer.find("output/port")
    names = (port.get("names") if port is not None else None) or layer.get("name") or "?"
    if data is None:
        raise ModelFault("invalid-encoding", f"'{label}': input '{names}' says neither type nor shape")
    return _make(names.partition(",")[0], data.get("element_type", ""), data.get("shape", "").split(","), label)


def _result(
    layer: Element, by_id: dict[str | None, Element], feeds: dict[tuple[str | None, str | None], Element], label: str
) -> Slot:
    """A Result: its name is that of the port that feeds it."""
    port = layer.find("input/port")
    edge = feeds.get((layer.get("id"), port.get("id") if port is not None else None))
    if port is None or edge is None:
        raise ModelFault("invalid-encoding", f"'{label}': an output that nothing feeds")
    maker = by_id.get(edge.get("from-layer"))
    ports = maker.findall("output/port") if maker is not None else []
    made = next((found for found in ports if found.get("id") == edge.get("from-port")), port)
    name = (made.get("names") or layer.get("name") or "?").partition(",")[0]
    kind = (made.get("precision") or port.get("precision") or "").lower()
    kind = "boolean" if kind == "bool" else re.sub(r"^fp", "f", kind)
    return _make(name, kind, [dim.text or "" for dim in port.findall("dim")], label)


def _make(name: str, kind: str, dims: list[str], label: str) -> Slot:
    if kind not in TYPES:
        raise ModelFault("unsupported-operation", f"'{label}': tensor '{name}' is {kind[:40] or 'of no type'}")
    sizes = [dim.strip() for dim in dims if dim.strip()]
    return Slot(
        name,
        TYPES[kind],
        tuple(int(d) if d.isdecimal() and len(d) < 19 else f"?{name}.{i}" for i, d in enumerate(sizes)),
    )


def _const(layer: Element, length: int, label: str) -> int:
    data = layer.find("data")
    try:
        offset, size = (int(data.get(key, "")) for key in ("offset", "size")) if data is not None else (0, -1)
    except ValueError:
        offset, size = 0, -1
    if offset < 0 or size < 0 or offset + size > length:
        raise ModelFault(
            "invalid-encoding",
            f"'{label}': weight '{layer.get('name')}' lies outside the weights, which have {length} bytes",
        )
    return size
