"""A small random graph of nodes that keep something: windows, a module's state, the state store, between connections.

The nodes are those that ship, on a clock that the scheduler moves. What their modules do is simulated, and the disk of
the checkpoints is an SQLite database in memory that outlives the process: what a commit wrote is there, what it did
not is gone.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from benchmarks.faults.simulation.disk import Disk as SpoolDisk
from benchmarks.faults.simulation.graph import (
    INBOX,
    OPTIONS,
    SPOOLED,
    Letters,
    Shape,
    SimIncoming,
    SimOutgoing,
    _NeverStopping,
    _Operator,
    fate,
)
from benchmarks.faults.simulation.threads import Fiber, Fibers
from flowrt.counters import NodeCounters
from flowrt.endpoints.base import Sink
from flowrt.endpoints.mqtt.sink import MqttSink
from flowrt.endpoints.mqtt.source import MqttSource
from flowrt.endpoints.spooled import SpooledSink
from flowrt.errors import GuestTrap, NodeFault, StartError
from flowrt.logicaltime.clock import GraphClock
from flowrt.logicaltime.stamps import COUNTER_BITS, milliseconds
from flowrt.message import Batch, Message
from flowrt.operators.accumulate import AccumulateOperator
from flowrt.operators.base import Errors, GuestOutput, OnError
from flowrt.operators.delay import DelayOperator
from flowrt.operators.map import MapOperator
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.operators.spool_config import Spool
from flowrt.quota.resources import Resources
from flowrt.runtime.ends import Entrance, SinkOperator
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.keeping import KeepingNode
from flowrt.runtime.limits import Limits
from flowrt.runtime.node import Node
from flowrt.runtime.onerror import FaultHandler
from flowrt.runtime.stateful import StatefulNode
from flowrt.runtime.timed import TimedNode
from flowrt.runtime.timed_inbox import TimedInbox
from flowrt.runtime.timed_stage import TimedStage
from flowrt.runtime.timing import Relay, TimedEntrance, Timing
from flowrt.state.checkpoints import CheckpointStore
from flowrt.state.journal import Changes, Journal
from flowrt.state.store import Refused, StateStore

WINDOW_MS = 1000
EPOCH_MS = 1_800_000_000_000
"""Where the wall's clock stands when a simulation begins."""
TRAPS = 0.05
"""How often a module traps over several messages, of those it could each handle alone."""
_GRAPHS: tuple[dict[str, tuple[str, ...]], ...] = (
    {"a": ("w1",), "w1": ("sink1",)},
    {"a": ("k1",), "k1": ("sink1",)},
    {"a": ("k1",), "k1": ("w1",), "w1": ("sink1",)},
    {"a": ("w1", "sink2"), "w1": ("sink1",)},
    {"a": ("w1", "w2"), "w1": ("sink1",), "w2": ("sink2",)},
    {"a": ("w1",), "w1": ("w2",), "w2": ("sink1",)},
    {"a": ("w1",), "w1": ("k1",), "k1": ("sink1",)},
    {"a": ("t1",), "t1": ("w1",), "w1": ("sink1",)},
    {"a": ("t1", "k1"), "t1": ("sink1",), "k1": ("sink2",)},
    {"a": ("w1", "b"), "b": ("w1",), "w1": ("sink1",)},
)
"""By node, its successors: `w…` are windows, `k…` keep a module's state on disk, `t…` write to the state store."""


def draw_window_shape(random: Random, graph: dict[str, tuple[str, ...]] | None = None) -> Shape:
    """`graph`: the one to take, if it is not to be drawn. Of the sinks, `sink1` may have a spool, `sink2` has none."""
    return Shape(
        graph or random.choice(_GRAPHS),
        random.choice((0.0, 0.1, 0.3)),
        random.choice((0.0, 0.0, 0.1, 0.3)),
        random.choice((0.0, 0.0, 0.2)),
        random.choice((0.0, 0.0, 0.3)),
        random.choice((1, 1, 1, 2)),
        random.choice((1, 1, 2)),
        {"after": "1s", "gather": random.choice(("0s", "100ms"))} if random.random() < SPOOLED else None,
    )


@dataclass(frozen=True)
class Way:
    """One way of a message through the graph, to a sink."""

    token: bytes
    """What it has become before the first window, or at the sink."""
    sink: str
    nodes: tuple[str, ...]
    """The nodes it passes, in order."""

    def windows(self) -> list[str]:
        return [node for node in self.nodes if node[0] == "w"]

    def before_windows(self) -> list[str]:
        """The nodes with state that it has left before it is kept by a window, or is out."""
        windows = self.windows()
        passed = self.nodes[: self.nodes.index(windows[0])] if windows else self.nodes
        return [node for node in passed if node[0] in "kt"]


def ways(shape: Shape, payload: bytes) -> tuple[list[Way], set[tuple[str, bytes]]]:
    """All ways of a message to sinks, and node and payload of what must be among the dead letters."""
    found: list[Way] = []
    letters: set[tuple[str, bytes]] = set()
    open_ends: list[tuple[str, bytes, tuple[str, ...]]] = [("a", payload, ())]
    while open_ends:
        node, now, passed = open_ends.pop()
        if node.startswith("sink"):
            found.append(Way(now, node, passed))
            continue
        windowed = any(one[0] == "w" for one in passed)
        what = "pass" if windowed else fate(shape, node, now)  # type: ignore[arg-type]
        if what == "fault":
            letters.add((node, now))
        elif node[0] in "wkt":
            open_ends += [(to, now, (*passed, node)) for to in shape.targets[node]]
        elif what != "filter":
            results = [now + f"|{node}".encode(), *([now + f"|{node}2".encode()] if what == "double" else [])]
            open_ends += [(to, result, (*passed, node)) for to in shape.targets[node] for result in results]
    return found, letters


def wrapped(token: bytes) -> bytes:
    """As it stands in a window's result, and in what a module remembers."""
    return b"<" + token + b">"


class _Guest:
    """One instance of a module: its state is what it has seen."""

    def __init__(self, shape: Shape, node: str, random: Random, states: StateStore) -> None:
        self._shape, self._node, self._random, self._states = shape, node, random, states
        self._seen = b""
        self._tried: set[bytes] = set()

    def map(self, batch: Batch) -> GuestOutput:
        errors: Errors = {}
        for row, payload in enumerate(batch.payloads):
            try:
                self._look(payload)
                if self._node[0] == "t":
                    self._states.set(payload, b"")
                self._seen += payload if payload[:1] == b"[" else wrapped(payload)
            except (NodeFault, Refused) as fault:
                errors = {**errors, row: fault if isinstance(fault, NodeFault) else NodeFault("error", str(fault))}
        self._perhaps_trap(batch)
        rows = [row for row in range(len(batch)) if row not in errors]
        return GuestOutput(rows, [batch.payloads[row] for row in rows], errors=errors)

    def accumulate(self, staged: Message, batch: Batch) -> Message:
        for payload in batch.payloads:
            self._look(payload)
        self._perhaps_trap(batch)
        begun = staged.payload or f"[{milliseconds(staged.time)}]".encode()
        parts = [one if one[:1] == b"[" else wrapped(one) for one in batch.payloads]
        return Message(staged.head, begun + b"".join(parts), staged.time)

    def delay(self, batch: Batch) -> tuple[Sequence[int], Errors]:
        length = WINDOW_MS << COUNTER_BITS
        return [(time // length + 1) * length for time in batch.times], {}

    def save(self) -> bytes | None:
        return self._seen if self._node[0] == "k" else None

    def restore(self, state: bytes) -> None:
        self._seen = state

    def memory_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Holds nothing."""

    def _look(self, payload: bytes) -> None:
        if payload[:1] == b"[":
            return
        what = fate(self._shape, self._node, payload)  # type: ignore[arg-type]
        if what == "flaky" and payload not in self._tried:
            self._tried.add(payload)
            what = "fault"
        if what == "fault":
            raise NodeFault("error", "simulated")

    def _perhaps_trap(self, batch: Batch) -> None:
        """Half of the work is done by then, and may not be seen any more."""
        if len(batch) > 1 and self._random.random() < TRAPS:
            self._seen += b"(trapped)"
            raise GuestTrap("trap", "simulated")


class Checkpoints(CheckpointStore):
    """A disk that is full now and then, and a process that is killed before or behind a write."""

    def __init__(self, random: Random, before_write: Callable[[], None]) -> None:
        super().__init__(None)
        self.full = random.choice((0.0, 0.0, 0.2))
        self._random, self._before_write = random, before_write

    def load(self, graph: str, node: str) -> dict[bytes, bytes]:
        if self._random.random() < self.full / 4:
            raise StartError("simulated")
        return super().load(graph, node)

    def commit(self, graph: str, node: str, changes: Changes) -> None:
        self._before_write()
        if self._random.random() < self.full:
            raise sqlite3.OperationalError("database or disk is full")
        super().commit(graph, node, changes)
        self._before_write()

    def values(self, node: str, first: bytes = b"") -> list[bytes]:
        """What is on disk of a node, of keys that begin so."""
        return [value for key, value in super().load("sim", node).items() if key.startswith(first)]


class Disk:
    """What outlives the process."""

    def __init__(self, random: Random, before_write: Callable[[], None]) -> None:
        self.checkpoints = Checkpoints(random, before_write)
        self.states = StateStore()
        self.wall = EPOCH_MS
        """What the wall's clock shows when virtual time is 0."""

    def keeps(self, node: str, token: bytes) -> bool:
        """Whether a message is on disk at a node."""
        if node[0] == "t":
            return self.states.get(token) is not None
        whole = wrapped(token)
        return any(whole in value or value.endswith(b"}" + token) for value in self.checkpoints.values(node))

    def close(self) -> None:
        self.checkpoints.close()
        self.states.close()


class WindowRuntime:
    """One life of the process; see `graph.Runtime`."""

    def __init__(
        self,
        shape: Shape,
        letters: Letters,
        fibers: Fibers,
        disk: Disk,
        random: Random,
        spool_disk: SpoolDisk,
    ) -> None:
        self._shape, self._fibers, self._disk, self._random = shape, fibers, disk, random
        self._letters = letters
        self._stopping = _NeverStopping(fibers)
        self._on_error = OnError.model_validate(
            {"policy": "retry", "retries": 2, "backoff": "100ms"} if shape.flaky else {}
        )
        self.spools: dict[str, SpooledSink] = {}
        self._at_work: dict[str, Fiber] = {}
        self._spool_disk = spool_disk
        self.incoming = SimIncoming("p", OPTIONS, "simulated", lambda _: None)
        self.outgoing = SimOutgoing("p", OPTIONS, lambda _: None)
        self.inboxes: dict[str, Inbox] = {}
        self.nodes: dict[str, Node] = {}
        self.stages: dict[str, TimedStage] = {}
        names = {to for successors in shape.targets.values() for to in successors} | set(shape.targets)
        for name in sorted(names):
            self._make(name)
        for name, successors in shape.targets.items():
            self.nodes[name].targets = [[self._into(to) for to in successors]]
        for spooled in self.spools.values():
            spooled.start()
        self.timing = self._time()
        self._start_source()

    def _time(self) -> Timing:
        """As `time_wiring.timing_of` does it for a plan."""
        windows = [node for node in self.nodes.values() if isinstance(node, TimedNode)]
        timing = Timing(self._clock, windows, list(self.stages.values()))
        relays = {name: Relay() for name in self.stages}
        for node in windows:
            relays[node.name].work = node.pass_to
            node.woken = timing.watch(node.name)
        for name, successors in self._shape.targets.items():
            relays[name].targets = [self._mark(to, relays[to]) for to in successors if to in relays]
        self.first = relays["a"]
        return timing

    def _mark(self, to: str, relay: Relay) -> Callable[[int], None]:
        return partial(self.stages[to].inbox.mark, relay.input())

    def _clock(self) -> GraphClock:
        return GraphClock(lambda: self._disk.wall + int(self._fibers.now * 1000), self._fibers.clock)

    def _start_source(self) -> None:
        shape = self._shape
        source = SourceOperation(
            operation_type="source",
            name="source",
            endpoint="p",
            topics=("in/#",),
            qos=shape.source_qos,  # type: ignore[arg-type]
        )
        self.source = MqttSource(self.incoming, source)
        self.incoming.sources.append(self.source)
        self.source.note()
        entrance = Entrance(NodeCounters(), "wait")
        entrance.inboxes = [self.inboxes["a"]]
        timed = TimedEntrance(entrance.deliver, self.timing.clock, 0, entrance.counters)
        timed.targets = [self._mark("a", self.first)]
        self.timing.entrances["source"] = timed
        self.timing.start()
        for name in reversed(list(self.stages)):
            self.stages[name].resume()
        self.source.start(timed.deliver, lambda: None)

    def _make(self, name: str) -> None:
        counters = NodeCounters()
        on_error = OnError() if name.startswith("sink") else self._on_error
        faults = FaultHandler("sim", name, on_error, counters, self._letters, self._stopping, lambda _: None)  # type: ignore[arg-type]
        limits = Limits("sim", name, Resources(), counters, self._stopping, lambda _: None)
        given = (faults, counters)
        options = {"on_error": on_error, "limits": limits, "stopping": self._stopping, "emit": lambda _: None}
        if name.startswith("sink"):
            sink = self._sink(name, faults)
            self.inboxes[name] = Inbox(INBOX, 2**30)
            self.nodes[name] = Node("sim", name, SinkOperator(sink, counters), *given, **options)  # type: ignore[arg-type]
            return
        inbox = self.inboxes[name] = TimedInbox(INBOX, 2**30)
        node = self.nodes[name] = self._node(name, counters, given, options)
        accept = node.accept
        if name[0] == "w":
            delaying = DelayOperator(self._guest(name), "advance", NodeCounters())
            delay = Node("sim", f"{name}.delay", delaying, faults, NodeCounters(), **options)  # type: ignore[arg-type]
            delay.targets = [[node.accept]]
            accept = delay.accept
        kept = [node] if isinstance(node, KeepingNode) else []
        self.stages[name] = TimedStage(name, inbox, accept, 8, 0.0, kept)
        if on_error.policy == "retry" and not kept:
            node.retry_beside(self.stages[name], INBOX)

    def _guest(self, name: str) -> Callable[[], _Guest]:
        return lambda: _Guest(self._shape, name, self._random, self._disk.states)

    def _node(self, name: str, counters: NodeCounters, given: tuple[object, ...], options: dict[str, object]) -> Node:
        store = self._disk.checkpoints
        if name[0] == "w":
            window = AccumulateOperator(self._guest(name), "advance", counters, 2**30)
            return TimedNode("sim", name, window, *given, store=store, identity=b"w", **options)
        if name[0] == "k":
            keeper = MapOperator(self._guest(name))
            return StatefulNode("sim", name, keeper, *given, store=store, identity=b"k", journal=Journal(), **options)
        operator = MapOperator(self._guest(name)) if name[0] == "t" else _Operator(self._shape, name)  # type: ignore[arg-type]
        return Node("sim", name, operator, *given, **options)  # type: ignore[arg-type]

    def _sink(self, name: str, faults: FaultHandler) -> Sink:
        operation = SinkOperation(
            operation_type="sink",
            name=name,
            endpoint="p",
            topic=f"{name}/{{topic[1]}}",
            qos=self._shape.sink_qos,  # type: ignore[arg-type]
            spool=Spool.model_validate(self._shape.spool or {}),
        )
        if self._shape.spool is None or name != "sink1":
            sink = MqttSink(self.outgoing, operation, faults.refuse)
            self.outgoing.sinks.append(sink)
            return sink
        spool = SpooledSink("p", operation, self._spool_disk.folder(name), lambda _: None)
        sink = MqttSink(self.outgoing, operation, spool.refused(faults.refuse))
        spool.connect(sink)
        self.outgoing.sinks.append(sink)
        self.spools[name] = spool
        return spool

    def _into(self, name: str) -> Callable[[Batch], None]:
        inbox = self.inboxes[name]

        def put(batch: Batch) -> None:
            inbox._messages_max = max(INBOX, inbox.messages + len(batch))  # see `graph.Runtime._into`
            inbox.put(batch)

        return put

    def step(self, name: str, most: int, targets: Sequence[str]) -> bool:
        """Let one node work on what waits for it."""
        if name.startswith("sink"):
            return self._send(name, most)
        stage = self.stages[name]
        if all(self.inboxes[to].messages < INBOX for to in targets):
            stage._handle(stage.inbox.take_until(most, 0.0, float("-inf")) or ())
        stage._commit()
        while stage._errands:
            stage._errands.popleft().run()
        return True

    def _send(self, name: str, most: int) -> bool:
        inbox = self.inboxes[name]
        if not inbox.messages:
            return False
        if name in self.spools:  # it may wait for its broker: its stage has a thread of its own
            if name in self._at_work and self._at_work[name].is_alive():
                return False
            batches = inbox.take(most) or []
            self._at_work[name] = self._fibers.spawn(lambda: [self.nodes[name].accept(batch) for batch in batches])
            return True
        if not (most := self.outgoing.room(most)):
            return False
        for batch in inbox.take(most) or ():
            self.nodes[name].accept(batch)
        return True

    def early(self) -> list[bytes]:
        """Results on their way to a sink whose time has not come, but for those of before the clock was set back."""
        now = self.timing.clock.now()
        waiting = [
            payload
            for name, inbox in self.inboxes.items()
            if name.startswith("sink")
            for batch, _ in inbox._batches
            for payload in batch.payloads
        ]
        return [one for one in waiting if one[:1] == b"[" and now < int(one[1 : one.index(b"]")]) <= now + 60_000]

    def tick(self) -> None:
        """The clock may have come to where something is due."""
        due = self.timing.due()
        if due is not None and due <= self.timing.clock.now():
            self.timing.wake()

    def kept(self) -> list[KeepingNode]:
        return [node for node in self.nodes.values() if isinstance(node, KeepingNode)]

    def at_rest(self) -> bool:
        """Whether no window is open and nothing is left to be put down."""
        busy = any(fiber.is_alive() for fiber in self._at_work.values())
        if busy or not all(spool.empty() for spool in self.spools.values()):
            return False
        return self.timing.due() is None and all(node.commit_at() is None for node in self.kept())

    def drained(self) -> bool:
        """Whether nothing is on its way inside."""
        waits = any(inbox._batches for inbox in self.inboxes.values())
        return not waits and not any(one.count for stage in self.stages.values() for one in stage.retrying.values())

    def end_stages(self) -> None:
        """As stages end when they are told to: with a last commit."""
        for node in self.kept():
            node.commit()

    def close_files(self) -> None:
        """What the kernel does for a process that ends."""
        for spool in self.spools.values():
            if spool.log is not None:
                spool.log.close()
