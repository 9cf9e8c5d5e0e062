"""`sparkplug`: Sparkplug B, through protobuf, an optional package.

Data messages may name metrics by aliases that only a birth explains, so `decode` remembers births. A message that
cannot be read because its birth was missed is a fault; with `rebirth` the arm `"True"` carries a request for a birth,
ready to be published, to every edge node of which that is so, or whose messages have a gap.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from flowrt.errors import NodeFault
from flowrt.formats.base import JSON_TYPE, Around, Made, WritingCodec
from flowrt.formats.options import SparkplugOptions
from flowrt.formats.sparkplug_nodes import EdgeNode, EdgeNodes, Key
from flowrt.formats.sparkplug_wire import (
    NUMBERS,
    SEQUENCE_KEY,
    parsed,
    payload_type,
    properties_of,
    put,
    type_of,
    value_of,
)
from flowrt.message import Head
from flowrt.transforms.documents import decode as decode_json
from flowrt.values import Struct

NAMESPACE = "spBv1.0"
REBIRTH = "Node Control/Rebirth"
_BIRTHS, _DEATHS, _COMMANDS = ("NBIRTH", "DBIRTH"), ("NDEATH", "DDEATH"), ("NCMD", "DCMD")
_KINDS = (*_BIRTHS, *_DEATHS, *_COMMANDS, "NDATA", "DDATA")
_ASKED_MAX = 4096


class Address(Struct, frozen=True):
    """What a topic says."""

    key: Key
    kind: str
    device: str | None


class SparkplugCodec(WritingCodec):
    """Sparkplug B at work."""

    def __init__(self, options: SparkplugOptions, around: Around) -> None:
        super().__init__(options, around, "application/octet-stream")
        payload_type()
        self._list = options.metrics == "list"
        self._interval = options.rebirth_interval
        self._wanted = options.rebirth
        self._clock = around.clock
        self._nodes = EdgeNodes()
        self._asked: dict[Key, float] = {}
        self._requests: list[tuple[bytes, Head]] = []

    def requests(self) -> Made:
        found, self._requests = self._requests, []
        return found

    def decode(self, payload: bytes, head: Head) -> Made:
        (made,) = self._plain.texts([self._document(payload, head.topic)])
        return [(made, self._headed(head, JSON_TYPE))]

    def _document(self, payload: bytes, topic: str) -> dict[str, Any]:
        address = _address(topic)
        if address.kind == "STATE":
            return {"type": "STATE", "host": address.device, "state": decode_json(payload)}
        message = parsed(payload)
        if address.kind in _BIRTHS:
            self._birth(address, message)
        known = self._nodes.get(address.key)
        described = {"type": address.kind, "group": address.key[0], "edgeNode": address.key[1]}
        if address.device is not None:
            described["device"] = address.device
        for name in ("timestamp", "seq"):
            if message.HasField(name):
                described[name] = getattr(message, name)
        metrics = list(self._metrics(address, message, known))
        if address.kind not in _COMMANDS:
            self._followed(address, message, known)
        if address.kind in _DEATHS:
            self._death(address, message, known)
        shown = metrics if self._list else {metric["name"]: metric["value"] for metric in metrics}
        return {**described, "metrics": shown}

    def _birth(self, address: Address, message: Any) -> None:
        """Learn what a birth says. A node's birth makes all that was known of it void."""
        if address.kind == "NBIRTH":
            node = EdgeNode(_session(message))
        else:
            found = self._nodes.get(address.key)
            if found is None:
                raise self._unknown(address, "is not born")
            node = found
            node.forget(str(address.device))
            node.devices.add(str(address.device))
        for metric in message.metrics:
            alias = metric.alias if metric.HasField("alias") else None
            node.learn(metric.name, alias, type_of(metric.datatype), address.device)
        if address.kind == "NBIRTH":
            self._nodes.born(address.key, node)

    def _death(self, address: Address, message: Any, known: EdgeNode | None) -> None:
        """Forget what has died. A node's death of an earlier session, which came late, says nothing of this one."""
        if known is None:
            return
        if address.kind == "DDEATH":
            known.forget(str(address.device))
        elif _session(message) in (None, known.session):
            self._nodes.died(address.key)

    def _followed(self, address: Address, message: Any, known: EdgeNode | None) -> None:
        """Ask for a birth where messages between this and the last one are missing."""
        if known is None or address.kind == "NDEATH" or not message.HasField("seq"):
            return
        if not known.follows(message.seq) and address.kind != "NBIRTH":
            self._ask(address.key)
        known.last = message.seq

    def _metrics(self, address: Address, message: Any, known: EdgeNode | None) -> Iterator[dict[str, Any]]:
        if address.kind == "DDATA" and (known is None or address.device not in known.devices):
            raise self._unknown(address, "is not born")
        if address.kind == "NDATA" and known is None:
            raise self._unknown(address, "is not born")
        for metric in message.metrics:
            name, type_ = self._explained(address, metric, known)
            found = {"name": name, "type": type_, "value": None if metric.is_null else value_of(metric, type_)}
            if self._list:
                found |= {key: getattr(metric, key) for key in ("alias", "timestamp") if metric.HasField(key)}
                found |= {key: True for key in ("is_historical", "is_transient") if getattr(metric, key)}
                if metric.HasField("properties"):
                    found["properties"] = properties_of(metric.properties)
            yield found

    def _explained(self, address: Address, metric: Any, known: EdgeNode | None) -> tuple[str, str]:
        """Name and type of a metric, from itself or from its birth."""
        if metric.HasField("name"):
            if metric.datatype:
                return metric.name, type_of(metric.datatype)
            types = {} if known is None else known.types
            return metric.name, types.get((address.device, metric.name), "Unknown")
        alias = metric.alias if metric.HasField("alias") else None
        found = known.aliases.get(alias) if known is not None and alias is not None else None
        if found is None or found.device != address.device:
            raise self._unknown(address, f"has told no name for the alias {alias}")
        return found.name, type_of(metric.datatype) if metric.datatype else found.type

    def _unknown(self, address: Address, words: str) -> NodeFault:
        self._ask(address.key)
        who = "/".join(filter(None, (*address.key, address.device)))
        return NodeFault("format", f"the Sparkplug {'device' if address.device else 'edge node'} {who} {words}")

    def _ask(self, key: Key) -> None:
        """Ask an edge node for a birth, unless that was done just now."""
        now = self._clock()
        if not self._wanted or now - self._asked.get(key, float("-inf")) < self._interval:
            return
        if len(self._asked) >= _ASKED_MAX:
            self._asked.clear()
        self._asked[key] = now
        message = payload_type()(timestamp=0)
        message.metrics.add(name=REBIRTH, datatype=NUMBERS["Boolean"], boolean_value=True)
        topic = f"{NAMESPACE}/{key[0]}/NCMD/{key[1]}"
        self._requests.append((message.SerializeToString(), Head(topic)))

    def dump(self, document: Any) -> bytes:
        if type(document) is not dict or type(document.get("metrics")) is not list:
            raise NodeFault("format", "Sparkplug is written of an object whose `metrics` are a list")
        message = payload_type()()
        try:
            for name in ("timestamp", "seq"):
                if name in document:
                    setattr(message, name, document[name])
            for given in document["metrics"]:
                _put_metric(message.metrics.add(), given)
            return bytes(message.SerializeToString())
        except (ValueError, TypeError, KeyError, AttributeError, OverflowError) as error:
            raise NodeFault("format", f"the document cannot be written as Sparkplug B: {error}") from None


def _put_metric(metric: Any, given: dict[str, Any]) -> None:
    type_ = given["type"]
    for key in ("name", "alias", "timestamp", "is_historical", "is_transient"):
        if key in given:
            setattr(metric, key, given[key])
    metric.datatype = NUMBERS[type_]
    if given.get("value") is None:
        metric.is_null = True
    else:
        put(metric, type_, given["value"])


def _session(message: Any) -> int | None:
    metrics: Iterable[Any] = message.metrics
    return next((metric.long_value or metric.int_value for metric in metrics if metric.name == SEQUENCE_KEY), None)


def _address(topic: str) -> Address:
    """What a topic says. Raises `NodeFault` for one that is not Sparkplug's."""
    match topic.split("/"):
        case ["spBv1.0", "STATE", host]:
            return Address(("", ""), "STATE", host)
        case ["spBv1.0", group, kind, node] if kind in _KINDS and kind.startswith("N"):
            return Address((group, node), kind, None)
        case ["spBv1.0", group, kind, node, device] if kind in _KINDS and kind.startswith("D"):
            return Address((group, node), kind, device)
    raise NodeFault("format", f"'{topic:.200}' is no Sparkplug topic: {NAMESPACE}/GROUP/TYPE/EDGE_NODE[/DEVICE]")
