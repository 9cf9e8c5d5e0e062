"""Golden messages recorded from live traffic: what the proven version was given, and what it made of it.

Now and then a node's operator is watched for one batch, by the stage's own thread; between, nothing is in the way of
messages. What is kept is bounded in messages and bytes, and lies in a file of the state folder that only the service's
user can read. It is as confidential as the messages are: nothing is recorded unless the graph says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import monotonic

from flowrt.events import Emit, StoreFailed
from flowrt.graph.difference import essence
from flowrt.graph.plan import Plan
from flowrt.graph.updates import Record
from flowrt.message import Batch, Head, Message
from flowrt.operators.base import Emission, Operator
from flowrt.registry.files import write_whole
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.keeping import KeepingNode
from flowrt.runtime.node import Node
from flowrt.runtime.state import state_of, unwrapped
from flowrt.runtime.swap import SwapRefused, on_stage
from flowrt.updates.journal import RECORDED, file_of
from flowrt.updates.recorded import Recorded, Recording, as_file, from_file
from flowrt.updates.shadow import results_of
from flowrt.updates.trial import TRIED
from flowrt.values import Struct, field

LOOK_SECONDS = 1.0
"""How often is looked whether a graph is due."""
WRITE_SECONDS = 300.0
"""How often what was recorded is written down: a power cut loses that much of it, and no flash wears out."""
ROWS = 4
"""Of a batch, what is recorded at most."""
SHARE = 4
"""A message that takes more than this part of the bytes is not recorded."""

Kind = str
"""A digest of what an operation is: what one version made of messages is no measure for another one's successor."""


class Kept(Struct, eq=False):
    """Of one node."""

    kind: Kind
    messages: deque[Recorded] = field(default_factory=deque)

    def add(self, one: Recorded, bounds: Record) -> None:
        """In the place of the oldest, where there is no room."""
        if one.size * SHARE > bounds.bytes:
            return
        self.messages.append(one)
        while len(self.messages) > bounds.messages or sum(kept.size for kept in self.messages) > bounds.bytes:
            self.messages.popleft()


class Recorder:
    """Records for all graphs of a process that ask for it."""

    def __init__(
        self, state: Path, graphs: Callable[[], Sequence[RunningGraph]], may: Callable[[RunningGraph], bool], emit: Emit
    ) -> None:
        """`may` says whether a graph runs what is proven, and nothing is being tried."""
        self._state, self._graphs, self._may, self._emit = state, graphs, may, emit
        self._kept: dict[str, dict[str, Kept]] = {}
        """By graph and node."""
        self._due: dict[str, float] = {}
        self._changed: set[str] = set()
        self._lock = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flowrt/recording", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write down what is new, and end."""
        self._ending.set()
        self._thread.join(10.0)
        self.write()

    def of(self, plan: Plan, name: str) -> Sequence[Recorded]:
        """What a node of a running plan was given; nothing of an earlier form of it."""
        kept = self._of(plan.name).get(name)
        if kept is None or kept.kind != kind_of(plan, name):
            return ()
        with self._lock:
            return tuple(kept.messages)

    def sample(self, graph: RunningGraph) -> None:
        """Watch the next batch of each node whose versions can be compared message by message."""
        bounds = graph.plan.updates.record
        for name, node in graph.nodes.items():
            operation = graph.plan.nodes[name].operation
            if bounds is None or not isinstance(operation, TRIED) or isinstance(node, KeepingNode):
                continue
            if state_of(unwrapped(node.operator)) is not None:  # what it makes of a message depends on those before
                continue
            take = partial(self._take, graph.name, name, kind_of(graph.plan, name), bounds)
            with graph.swapping, contextlib.suppress(SwapRefused, KeyError):
                stage = graph.plan_stages[graph.plan.nodes[name].stage]
                if not graph.stopped and graph.nodes[name] is node:
                    on_stage(stage, partial(_watch, node, take), graph.plan.updates.timeout)

    def write(self) -> None:
        """What is new, for the next start."""
        while self._changed:
            graph = self._changed.pop()
            with self._lock:
                value = {name: (kept.kind, list(kept.messages)) for name, kept in self._kept[graph].items()}
            try:
                write_whole(file_of(self._state, graph, RECORDED), as_file(value))
            except OSError as error:
                self._emit(StoreFailed("recorded messages", error.strerror or str(error), WRITE_SECONDS))

    def _run(self) -> None:
        written = monotonic()
        while not self._ending.wait(LOOK_SECONDS):
            now = monotonic()
            for graph in self._graphs():
                bounds = graph.plan.updates.record
                if bounds is not None and self._due.get(graph.name, 0.0) <= now and self._may(graph):
                    self._due[graph.name] = now + bounds.every
                    self.sample(graph)
            if now - written >= WRITE_SECONDS:
                written = now
                self.write()

    def _of(self, graph: str) -> dict[str, Kept]:
        with self._lock:
            if graph not in self._kept:
                path = file_of(self._state, graph, RECORDED)
                found = {}
                with contextlib.suppress(OSError, ValueError):
                    found = from_file(path.read_bytes())
                self._kept[graph] = {name: Kept(kind, deque(known)) for name, (kind, known) in found.items()}
            return self._kept[graph]

    def _take(self, graph: str, name: str, kind: Kind, bounds: Record, batch: Batch, emission: Emission) -> None:
        """On the stage's thread."""
        found = _recorded(batch, emission)
        nodes = self._of(graph)
        with self._lock:
            if name not in nodes or nodes[name].kind != kind:
                nodes[name] = Kept(kind)
            for one in found:
                nodes[name].add(one, bounds)
            self._changed.add(graph)


def kind_of(plan: Plan, name: str) -> Kind:
    """Of a node."""
    return hashlib.sha256(repr(essence(plan.nodes[name], plan)).encode()).hexdigest()


def _watch(node: Node, take: Callable[[Batch, Emission], None]) -> None:
    if not isinstance(node.operator, Recording):
        node.operator = Recording(node.operator, take, partial(_unhook, node))


def _unhook(node: Node, recording: Operator) -> None:
    """On the stage's thread, unless another has taken its place meanwhile."""
    if node.operator is recording and isinstance(recording, Recording):
        node.operator = recording.inner


def _recorded(batch: Batch, emission: Emission) -> list[Recorded]:
    """Some messages of a batch, spread over it, that were handled."""
    place = {seq: row for row, seq in enumerate(batch.seqs)}
    if len(place) < len(batch):  # several rows of one message: what became of which cannot be told
        return []
    results = results_of(emission, len(batch), place)
    found = []
    for row in range(0, len(batch), -(-len(batch) // ROWS)):
        made = results[row]
        if made is not None:
            found.append(Recorded(_lasting(batch.heads[row]), bytes(batch.payloads[row]), tuple(map(_result, made))))
    return found


def _lasting(head: Head) -> Head:
    """What of a head is worth keeping: whom an answer is for is not."""
    return head.with_(response_topic=None, correlation=None)


def _result(message: Message) -> Message:
    return Message(Head(message.head.topic, tensors=message.head.tensors), message.payload, message.time)
