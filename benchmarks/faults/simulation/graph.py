"""A small random graph of real nodes between real connections, in steps that never wait."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count
from random import Random

from benchmarks.faults.simulation.disk import Disk
from benchmarks.faults.simulation.threads import Fiber, Fibers
from flowrt.counters import NodeCounters
from flowrt.delivery.deadletters import Added, DeadLetter
from flowrt.endpoints.base import Sink
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.mqtt.incoming import Incoming
from flowrt.endpoints.mqtt.outgoing import Outgoing
from flowrt.endpoints.mqtt.sink import MqttSink
from flowrt.endpoints.mqtt.source import MqttSource
from flowrt.endpoints.spooled import SpooledSink
from flowrt.errors import NodeFault
from flowrt.message import Batch
from flowrt.operators.base import Emission, Fault, OnError
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.operators.spool_config import Spool
from flowrt.quota.resources import Resources
from flowrt.runtime.ends import Entrance, SinkOperator
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.limits import Limits
from flowrt.runtime.node import Node
from flowrt.runtime.onerror import FaultHandler
from flowrt.runtime.retrying import Retrying
from flowrt.runtime.stage import Errand

SPOOLED = 0.4
"""How many seeds have sinks with spools."""
INBOX = 12
"""Messages an inbox takes: few, so that it is full often."""
OPTIONS = MqttOptions(host="simulated", client_id="simulated", receive_maximum=10, max_inflight=8)
_ON_ERROR, _RESOURCES = OnError(), Resources()
_RETRY = OnError.model_validate({"policy": "retry", "retries": 2, "backoff": "100ms"})


@dataclass(frozen=True)
class Shape:
    """Which nodes there are, who follows whom, and how often they do what; drawn once a seed, kept over crashes."""

    targets: dict[str, tuple[str, ...]]
    """By node, its successors; those named `sink…` are sinks."""
    filters: float
    faults: float
    doubles: float
    flaky: float
    """How many fail once or twice and pass then; only where nodes try again."""
    source_qos: int
    sink_qos: int
    spool: dict[str, object] | None
    """Options of the sinks' spools, where they have some."""


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
        random.choice((0.0, 0.0, 0.3)),
        random.choice((1, 1, 1, 2)),
        random.choice((1, 1, 1, 2)),
        draw_spool(random) if random.random() < SPOOLED else None,
    )


def draw_spool(random: Random) -> dict[str, object]:
    """None that drops anything."""
    bounds = random.choice(({}, {}, {"messages": 6, "when_full": "wait"}))
    return bounds | {"gather": random.choice(("0", "100ms")), "drain_rate": random.choice((None, 20.0))}


def _shares(shape: Shape) -> tuple[tuple[str, float], ...]:
    return ("filter", shape.filters), ("fault", shape.faults), ("double", shape.doubles), ("flaky", shape.flaky)


def fate(shape: Shape, node: str, payload: bytes) -> str:
    """What a node does with a message: always the same, so that what must come out can be said beforehand."""
    chance = (zlib.crc32(node.encode() + payload) % 1000) / 1000
    for name, share in _shares(shape):
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
        self._tried: set[bytes] = set()

    def process(self, batch: Batch) -> Emission:
        rows: list[int] = []
        payloads: list[bytes] = []
        filtered: list[int] = []
        forked: list[int] = []
        faults: list[Fault] = []
        for row, payload in enumerate(batch.payloads):
            what = fate(self._shape, self._node, payload)
            if what == "flaky" and payload not in self._tried:
                self._tried.add(payload)
                what = "fault"
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

    def add(self, letters: Sequence[DeadLetter]) -> Added:
        self.before_write()
        if self.random.random() < self.full:
            raise sqlite3.OperationalError("database or disk is full")
        for letter in letters:
            self.kept.add((letter.node, letter.message.payload))
            self.copies += 1
        self.before_write()
        return Added(evicted=0, dropped=0)


class _NeverStopping(threading.Event):
    """A pause in virtual time."""

    def __init__(self, fibers: Fibers) -> None:
        super().__init__()
        self._fibers = fibers

    def wait(self, timeout: float | None = None) -> bool:
        self._fibers.now += timeout or 0.0
        return False


class _Stage:
    """What a stage is to the messages that wait beside it."""

    def __init__(self) -> None:
        self.retrying: dict[str, Retrying] = {}
        self.errands: list[Errand] = []

    def post(self, errand: Errand) -> None:
        self.errands.append(errand)


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


class Runtime:
    """One life of the process: made at each start, dropped at each crash."""

    def __init__(self, shape: Shape, letters: Letters, fibers: Fibers, disk: Disk) -> None:
        self._fibers, self._disk = fibers, disk
        self._on_error = _RETRY if shape.flaky else _ON_ERROR
        self.spools: dict[str, SpooledSink] = {}
        self._stages: dict[str, _Stage] = {}
        self._at_work: dict[str, Fiber] = {}
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
        for spooled in self.spools.values():
            spooled.start()
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
        counters, stopping = NodeCounters(), _NeverStopping(self._fibers)
        on_error = _ON_ERROR if name.startswith("sink") else self._on_error
        faults = FaultHandler("sim", name, on_error, counters, letters, stopping, lambda _: None)  # type: ignore[arg-type]
        if name.startswith("sink"):
            operation = SinkOperation(
                operation_type="sink",
                name=name,
                endpoint="p",
                topic=f"{name}/{{topic[1]}}",
                qos=shape.sink_qos,  # type: ignore[arg-type]
                spool=Spool.model_validate(shape.spool or {}),
            )
            operator: object = SinkOperator(self._sink(operation, faults, spooled=shape.spool is not None), counters)
        else:
            operator = _Operator(shape, name)
        limits = Limits("sim", name, _RESOURCES, counters, stopping, lambda _: None)
        node = Node(
            "sim", name, operator, faults, counters, on_error=on_error, limits=limits, stopping=stopping,
            emit=lambda _: None,
        )  # type: ignore[arg-type]  # fmt: skip
        self._stages[name] = _Stage()
        if on_error.policy == "retry":
            node.retry_beside(self._stages[name], INBOX)  # type: ignore[arg-type]
        return node

    def _sink(self, operation: SinkOperation, faults: FaultHandler, *, spooled: bool) -> Sink:
        if not spooled:
            sink = MqttSink(self.outgoing, operation, faults.refuse)
            self.outgoing.sinks.append(sink)
            return sink
        spool = SpooledSink("p", operation, self._disk.folder(operation.name), lambda _: None)
        sink = MqttSink(self.outgoing, operation, spool.refused(faults.refuse))
        spool.connect(sink)
        self.outgoing.sinks.append(sink)
        self.spools[operation.name] = spool
        return spool

    def step(self, name: str, most: int, targets: Sequence[str]) -> bool:
        """Let one node work on what waits for it; False when it has nothing or cannot hand on."""
        errands = self._stages[name].errands
        while errands:
            errands.pop(0).run()
        inbox = self.inboxes[name]
        if not inbox.messages or any(self.inboxes[to].messages >= INBOX for to in targets):
            return False
        if name in self.spools:
            return self._send(name, most)
        if name.startswith("sink"):
            most = self.outgoing.room(most)
        if not most:
            return False
        for batch in inbox.take(most) or ():
            self.nodes[name].accept(batch)
        return True

    def _send(self, name: str, most: int) -> bool:
        """A spooled sink may wait for its broker: its stage has a thread of its own."""
        if name in self._at_work and self._at_work[name].is_alive():
            return False
        batches = self.inboxes[name].take(most) or []
        self._at_work[name] = self._fibers.spawn(lambda: [self.nodes[name].accept(batch) for batch in batches])
        return True

    def at_rest(self) -> bool:
        """Whether nothing is between two steps, and nothing waits on disk."""
        busy = any(fiber.is_alive() for fiber in self._at_work.values())
        return not busy and all(spool.empty() for spool in self.spools.values())

    def close_files(self) -> None:
        """What the kernel does for a process that ends."""
        for spool in self.spools.values():
            if spool.log is not None:
                spool.log.close()
