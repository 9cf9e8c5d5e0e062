"""A small random graph of real nodes between real connections, in steps that never wait."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from flowrt.counters import NodeCounters
from flowrt.delivery.deadletters import DeadLetter
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.mqtt.incoming import Incoming
from flowrt.endpoints.mqtt.outgoing import Outgoing
from flowrt.endpoints.mqtt.sink import MqttSink
from flowrt.endpoints.mqtt.source import MqttSource
from flowrt.errors import NodeFault
from flowrt.message import Batch
from flowrt.operators.base import Emission, Fault, OnError
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.quota.resources import Resources
from flowrt.runtime.ends import Entrance, SinkOperator
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.limits import Limits
from flowrt.runtime.node import Node
from flowrt.runtime.onerror import FaultHandler

INBOX = 12
"""Messages an inbox takes: few, so that it is full often."""
OPTIONS = MqttOptions(host="simulated", client_id="simulated", receive_maximum=10, max_inflight=8)
_ON_ERROR, _RESOURCES = OnError(), Resources()


@dataclass(frozen=True)
class Shape:
    """Which nodes there are, who follows whom, and how often they do what; drawn once a seed, kept over crashes."""

    targets: dict[str, tuple[str, ...]]
    """By node, its successors; those named `sink…` are sinks."""
    filters: float
    faults: float
    doubles: float
    source_qos: int
    sink_qos: int


def draw_shape(random: Random) -> Shape:
    """From one node to four, one or two sinks."""
    sinks = ["sink1", "sink2"][: random.choice((1, 1, 2))]
    last = random.choice(sinks)
    targets: dict[str, tuple[str, ...]] = random.choice(
        [
            {"a": ("sink1",)},
            {"a": ("b",), "b": tuple(sinks)},
            {"a": ("b", "c"), "b": ("sink1",), "c": (last,)},
            {"a": ("b", last), "b": ("c", "d"), "c": ("sink1",), "d": (last,)},
        ]
    )
    return Shape(
        targets,
        random.choice((0.0, 0.1, 0.3)),
        random.choice((0.0, 0.0, 0.1, 0.3)),
        random.choice((0.0, 0.0, 0.2)),
        random.choice((1, 1, 1, 2)),
        random.choice((1, 1, 1, 2)),
    )


def fate(shape: Shape, node: str, payload: bytes) -> str:
    """What a node does with a message: always the same, so that what must come out can be said beforehand."""
    chance = (zlib.crc32(node.encode() + payload) % 1000) / 1000
    for name, share in (("filter", shape.filters), ("fault", shape.faults), ("double", shape.doubles)):
        if chance < share:
            return name
        chance -= share
    return "pass"


def expected(shape: Shape, payload: bytes) -> tuple[set[tuple[str, bytes]], set[tuple[str, bytes]]]:
    """Sink and payload of all that must come out for a message, and node and payload of all that must be kept."""
    out: set[tuple[str, bytes]] = set()
    kept: set[tuple[str, bytes]] = set()
    open_ends = [("a", payload)]
    while open_ends:
        node, now = open_ends.pop()
        if node.startswith("sink"):
            out.add((node, now))
            continue
        what = fate(shape, node, now)
        if what == "fault":
            kept.add((node, now))
        elif what != "filter":
            results = [now + f"|{node}".encode(), *([now + f"|{node}2".encode()] if what == "double" else [])]
            open_ends += [(to, result) for to in shape.targets[node] for result in results]
    return out, kept


class _Operator:
    """Does to each message what `fate` says."""

    def __init__(self, shape: Shape, node: str) -> None:
        self._shape, self._node = shape, node

    def process(self, batch: Batch) -> Emission:
        rows: list[int] = []
        payloads: list[bytes] = []
        filtered: list[int] = []
        forked: list[int] = []
        faults: list[Fault] = []
        for row, payload in enumerate(batch.payloads):
            what = fate(self._shape, self._node, payload)
            if what == "filter":
                filtered.append(batch.seqs[row])
            elif what == "fault":
                faults.append(Fault(batch.slice(row, row + 1), NodeFault("error", "simulated")))
            else:
                rows.append(row)
                payloads.append(payload + f"|{self._node}".encode())
                if what == "double":
                    rows.append(row)
                    payloads.append(payload + f"|{self._node}2".encode())
                    forked.append(batch.seqs[row])
        plain = rows == list(range(len(batch)))
        out = (batch if plain else batch.take(rows)).with_payloads(payloads) if rows else None
        return Emission((out,), filtered, faults, forked)

    def restart(self) -> None:
        """Never traps."""

    def memory_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Holds nothing."""


@dataclass
class Letters:
    """A dead-letter store that is durable when `add` returns, and whose disk is full now and then."""

    random: Random
    before_write: Callable[[], None]
    kept: set[tuple[str, bytes]] = field(default_factory=set)
    copies: int = 0
    full: float = 0.2

    def add(self, letters: Sequence[DeadLetter]) -> int:
        self.before_write()
        if self.random.random() < self.full:
            raise sqlite3.OperationalError("database or disk is full")
        for letter in letters:
            self.kept.add((letter.node, letter.message.payload))
            self.copies += 1
        self.before_write()
        return 0


class _NeverStopping(threading.Event):
    """A pause that takes no time."""

    def wait(self, timeout: float | None = None) -> bool:  # noqa: ARG002 - virtual
        return False


class SimIncoming(Incoming):
    def start(self) -> None:
        """No thread: the scheduler reads."""


class SimOutgoing(Outgoing):
    _moments = count(0, 60)
    """Links that die by chance are never so prompt that a message comes under suspicion for it."""

    def _now(self) -> float:  # type: ignore[override]
        return next(self._moments)

    def start(self) -> None:
        """No thread: the scheduler reads."""

    def room(self, wanted: int) -> int:
        """For how many rows `send` would not wait."""
        link = self._link
        if link is None or self._again:
            return 0
        return max(0, self._window.ids_free(min(wanted, self._most(link) - self._on_wire)))

    def under_way(self) -> int:
        return self._window.count

    def _wait(self, sink: MqttSink) -> None:  # noqa: ARG002
        raise AssertionError("the scheduler let a sink wait")


class Runtime:
    """One life of the process: made at each start, dropped at each crash."""

    def __init__(self, shape: Shape, letters: Letters) -> None:
        self.incoming = SimIncoming("p", OPTIONS, "simulated", lambda _: None)
        self.outgoing = SimOutgoing("p", OPTIONS, lambda _: None)
        source = SourceOperation(
            operation_type="source",
            name="source",
            endpoint="p",
            topics=("in/#",),
            qos=shape.source_qos,  # type: ignore[arg-type]
        )
        self.source = MqttSource(self.incoming, source)
        self.incoming.sources.append(self.source)
        self.inboxes: dict[str, Inbox] = {}
        self.nodes: dict[str, Node] = {}
        names = {to for successors in shape.targets.values() for to in successors} | set(shape.targets)
        for name in sorted(names):
            self.inboxes[name] = Inbox(INBOX, 2**30)
            self.nodes[name] = self._node(name, shape, letters)
        for name, successors in shape.targets.items():
            self.nodes[name].targets = [[self._into(to) for to in successors]]
        entrance = Entrance(NodeCounters(), "wait")
        entrance.inboxes = [self.inboxes["a"]]
        self.source.start(entrance.deliver, lambda: None)

    def _into(self, name: str) -> Callable[[Batch], None]:
        inbox = self.inboxes[name]

        def put(batch: Batch) -> None:
            # The scheduler has seen to it that there is room for what a node takes; results of one may be more.
            inbox._messages_max = max(INBOX, inbox.messages + len(batch))
            inbox.put(batch)

        return put

    def _node(self, name: str, shape: Shape, letters: Letters) -> Node:
        counters, stopping = NodeCounters(), _NeverStopping()
        faults = FaultHandler("sim", name, _ON_ERROR, counters, letters, stopping, lambda _: None)  # type: ignore[arg-type]
        if name.startswith("sink"):
            operation = SinkOperation(
                operation_type="sink",
                name=name,
                endpoint="p",
                topic=f"{name}/{{topic[1]}}",
                qos=shape.sink_qos,  # type: ignore[arg-type]
            )
            sink = MqttSink(self.outgoing, operation, faults.refuse)
            self.outgoing.sinks.append(sink)
            operator: object = SinkOperator(sink, counters)
        else:
            operator = _Operator(shape, name)
        limits = Limits("sim", name, _RESOURCES, counters, stopping, lambda _: None)
        return Node(
            "sim", name, operator, faults, counters, on_error=_ON_ERROR, limits=limits, stopping=stopping,
            emit=lambda _: None,
        )  # type: ignore[arg-type]  # fmt: skip

    def step(self, name: str, most: int, targets: Sequence[str]) -> bool:
        """Let one node work on what waits for it; False when it has nothing or cannot hand on."""
        inbox = self.inboxes[name]
        if not inbox.messages or any(self.inboxes[to].messages >= INBOX for to in targets):
            return False
        if name.startswith("sink"):
            most = self.outgoing.room(most)
        if not most:
            return False
        for batch in inbox.take(most) or ():
            self.nodes[name].accept(batch)
        return True
