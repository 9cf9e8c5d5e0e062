"""What Azure IoT Operations would not take of a file, for `flowrt check --portable`.

Facts: AIO's published JSON Schema of graph definitions, version 1.0.0, and its documented graph rules.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from flowrt.graph.document import parse
from flowrt.graph.model import AIO_SCHEMA
from flowrt.graph.tree import Mapping, Mark, Node, Scalar, Sequence, child, describe
from flowrt.problem import Problem, nearest

_TYPES = ("source", "map", "filter", "branch", "concatenate", "accumulate", "delay", "sink")
_FIELDS = {
    "": ("metadata", "moduleRequirements", "operations", "connections", "moduleConfigurations", "schemas"),
    "metadata": ("$schema", "name", "version", "description", "vendor"),
    "moduleRequirements": ("apiVersion", "runtimeVersion", "features"),
    "moduleRequirements.features": ("name", "value"),
    "operations": ("operationType", "name", "module"),
    "connections": ("from", "to"),
    "connections.from": ("name", "arm", "schemaName"),
    "connections.to": ("name",),
}
_REQUIRED = {
    "": ("metadata", "moduleRequirements", "operations", "connections"),
    "metadata": ("$schema", "name", "version"),
    "moduleRequirements": ("apiVersion", "runtimeVersion"),
}


def check_file(path: Path) -> list[Problem]:
    """What AIO would refuse in the file at `path`. A file that is not YAML has none: that is said elsewhere."""
    try:
        root, _ = parse(path.read_bytes(), str(path))
    except OSError:
        return []
    return [] if root is None else list(check(root, str(path)))


def check(root: Mapping, path: str) -> Iterator[Problem]:
    """The same for a tree."""
    for mark, message in (*_closed(root, ""), *_values(root), *_merging(root)):
        yield Problem(path, mark.line, mark.column, "not-portable", f"{message}, which AIO does not take")


def _closed(node: Node, place: str) -> Iterator[tuple[Mark, str]]:
    """Fields that AIO does not know or requires, here and below."""
    if isinstance(node, Sequence):
        for item in node.items:
            yield from _closed(item, place)
    if not isinstance(node, Mapping) or place not in _FIELDS:
        return
    of = f" of {place}" if place else ""
    for key in _REQUIRED.get(place, ()):
        if key not in node.entries:
            value = f" (with {AIO_SCHEMA})" if key == "$schema" else ""
            yield node.mark, f"'{key}'{of} is missing{value}"
    for key, entry in node.entries.items():
        if key not in _FIELDS[place]:
            yield entry.mark, f"there is a field '{key}'{of}{nearest(key, _FIELDS[place])}"
        else:
            yield from _closed(entry.value, f"{place}.{key}".lstrip("."))


def _values(root: Mapping) -> Iterator[tuple[Mark, str]]:
    for operation in _items(root, "operations"):
        kind = child(operation, "operationType")
        if isinstance(kind, Scalar) and kind.value not in _TYPES:
            yield kind.mark, f"operationType is {describe(kind)}"


def _merging(root: Mapping) -> Iterator[tuple[Mark, str]]:
    """Operations but concatenate that have several inputs."""
    kinds = {_text(op, "name"): _text(op, "operationType") for op in _items(root, "operations")}
    fed: dict[str, int] = {}
    for connection in _items(root, "connections"):
        end = child(connection, "to")
        name = _text(end, "name") if end is not None else ""
        fed[name] = fed.get(name, 0) + 1
        if end is not None and fed[name] == 2 and kinds.get(name) not in {"concatenate", None}:
            yield end.mark, f"operation '{name}' is a {kinds[name]} with several inputs and no concatenate before it"


def _items(root: Mapping, key: str) -> tuple[Node, ...]:
    found = root.get(key)
    return found.items if isinstance(found, Sequence) else ()


def _text(node: Node, key: str) -> str:
    found = child(node, key)
    return found.text if isinstance(found, Scalar) else ""
