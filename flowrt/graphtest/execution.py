"""A graph under test: built as the runtime builds it, driven by one thread on virtual time.

Nodes, operators, guests, recovery and `onError` are the runtime's own; only who calls a stage differs, and what stands
at the ends. So that a test does not depend on how busy a machine is, deadlines are at least `DEADLINE_SECONDS`, shares
of the processor are not held, and nodes with a process of their own run in this one.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from functools import cached_property
from itertools import groupby
from pathlib import Path
from time import monotonic
from typing import Any

from flowrt.endpoints.file import head_of
from flowrt.endpoints.file_config import FileOptions
from flowrt.endpoints.topics import matches, topic_fault
from flowrt.events import GraphReady, GraphStarted, GraphStopped
from flowrt.graph.plan import NodePlan, Plan
from flowrt.graph.wiring import kind_of
from flowrt.graphtest.counting import counted
from flowrt.graphtest.ends import TrialEndpoints
from flowrt.graphtest.stubs import stub_operator
from flowrt.graphtest.trial import Arrival, Left, Outcome, Trial, TrialError
from flowrt.graphtest.virtual import VirtualTime
from flowrt.logicaltime.clock import GraphClock
from flowrt.logs.sentences import line_of
from flowrt.message import Batch, Head
from flowrt.operators.source import SourceOperation
from flowrt.quota.resources import NO_BUDGET
from flowrt.runtime.build import build
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.node import Target
from flowrt.runtime.surroundings import Surroundings
from flowrt.state.checkpoints import CheckpointStore
from flowrt.state.store import StateStore
from flowrt.values import replace

DEADLINE_SECONDS = 20.0
"""What a call may take at least: far above what a busy machine makes of any that ends."""
ARRIVALS = 64
"""Messages of one moment that enter together."""
ARMS = ("False", "True")
_LOG_MAX = 50
_LETTERS_MAX = 1000
_UNSAID = (GraphStarted, GraphReady, GraphStopped)


def execute(trial: Trial, plan: Plan) -> Outcome:
    """Run a plan on a trial's messages. Raises `TrialError`, and `StartError` when the graph does not come up."""
    outcome, time = Outcome(), VirtualTime(trial.start)
    with tempfile.TemporaryDirectory(prefix="flowrt-test-") as state:
        ends = TrialEndpoints(outcome, time)
        around = _Around(_Log(outcome.log), Path(state), open_endpoints=ends.open)
        around.time = time
        around.clock, around.stopping = time.seconds, time.stopping
        around.graph_clock = lambda: GraphClock(time.milliseconds, time.seconds)
        around.stand_ins = _stand_ins(trial, plan)
        for key, value in trial.seeds.items():
            around.states.set(key, value)
        try:
            graph = build(_eased(plan, trial.schemas), around)
            try:
                _Run(graph, ends, trial, time, outcome).run()
            finally:
                graph.stop(0.0)
            _finish(outcome, around, ends, graph)
        finally:
            around.close()
    return outcome


class _Around(Surroundings):
    """The surroundings of one trial: nothing is shared, and the state store keeps virtual time."""

    time: VirtualTime

    @cached_property
    def states(self) -> StateStore:
        self._open.append("states")
        return StateStore(clock=self.time.milliseconds)

    @cached_property
    def checkpoints(self) -> CheckpointStore:
        """In memory: a test does not outlive its process."""
        self._open.append("checkpoints")
        return CheckpointStore(None)


class _Run:
    """Messages into a graph, and what waits through its stages."""

    def __init__(
        self, graph: RunningGraph, ends: TrialEndpoints, trial: Trial, time: VirtualTime, outcome: Outcome
    ) -> None:
        self._graph = graph
        self._ends = ends
        self._trial = trial
        self._time = time
        self._outcome = outcome
        self._until = monotonic() + trial.timeout
        for stage in graph.stages:
            stage.inbox.bound(sys.maxsize, sys.maxsize, None)  # the only thread would wait for itself
        for node in graph.plan.nodes.values():
            self._watch(node)
        if graph.timing is not None:
            graph.timing.start()
            for stage in graph.stages:
                stage.resume()

    def run(self) -> None:
        arrivals = [replace(arrival, source=self._source(arrival)) for arrival in self._trial.arrivals]
        for (at, source), group in groupby(arrivals, key=lambda arrival: (arrival.at, arrival.source or "")):
            together = list(group)
            for start in range(0, len(together), ARRIVALS):
                self._enter(at, source, together[start : start + ARRIVALS])
        if self._graph.timing is not None:
            for source in self._graph.timing.entrances:  # a test is a source that ends: windows close
                self._graph.timing.end(source)
            self._settle()

    def _enter(self, at: int, source: str, arrivals: Sequence[Arrival]) -> None:
        self._reach(at)
        heads = [self._head(arrival) for arrival in arrivals]
        batch = self._ends.sources[source].batch(heads, [arrival.payload for arrival in arrivals])
        self._graph.deliver_to(source)(batch)
        self._settle()

    def _reach(self, at: int) -> None:
        """Let time pass, and close on the way what it closes."""
        timing = self._graph.timing
        while timing is not None and (due := timing.due()) is not None and due <= self._trial.start + at:
            self._time.reach(due - self._trial.start)
            timing.wake()
            self._settle()
        self._time.reach(at)

    def _settle(self) -> None:
        """Handle all that waits. A stage feeds only later ones, but for copies of dead letters."""
        while sum(stage.step() for stage in self._graph.stages):
            if monotonic() > self._until:
                raise TrialError(f"it took longer than its timeout of {self._trial.timeout:g} s")

    def _source(self, arrival: Arrival) -> str:
        sources = list(self._ends.sources)
        if arrival.source is None and len(sources) == 1:
            return sources[0]
        if arrival.source not in self._ends.sources:
            found = f"'{arrival.source}' is no source" if arrival.source else "its `source` is missing"
            raise TrialError(f"{arrival.place}: {found}; sources are {', '.join(sources)}")
        return arrival.source

    def _head(self, arrival: Arrival) -> Head:
        """Of a message as the source's endpoint would give it; one that it would never read is a mistake."""
        head, operation = arrival.head, self._ends.operations[arrival.source or ""]
        options = self._graph.plan.endpoints.get(operation.endpoint or "")
        if isinstance(options, FileOptions):
            default = head_of(options, operation)
            return head.with_(topic=head.topic or default.topic, content_type=head.content_type or default.content_type)
        topics = operation.topics
        plain = [pattern for pattern in topics if topic_fault(pattern) is None]
        topic = head.topic or next(iter(plain), "" if topics else "test")
        if topic_fault(topic):
            raise TrialError(f"{arrival.place}: {topic_fault(topic)}; give a topic that {' or '.join(topics)} matches")
        if topics and not any(matches(pattern, topic) for pattern in topics):
            words = f"'{arrival.source}' does not read the topic '{topic}'; it reads {', '.join(topics)}"
            raise TrialError(f"{arrival.place}: {words}")
        return head.with_(topic=topic)

    def _watch(self, node: NodePlan) -> None:
        """Note what passes the arms of a branch, keep what is asked for, and cut the arms that stubs name."""
        running, trial = self._graph.nodes.get(node.name), self._trial
        places = [f"{node.name}.{arm}" for arm in ARMS] if len(node.targets) == len(ARMS) else []
        self._outcome.reachable.update((node.name, *places))
        if running is None or not running.targets or not ({node.name, *places} & trial.watched or places):
            return
        taps = [self._tap(place, node.name) for place in places or (node.name,)]
        cut = [place in trial.stubs for place in places] or [False]
        running.targets = [
            [tap] if gone or not port else [tap, *port]
            for tap, gone, port in zip(taps, cut, running.targets, strict=True)
        ]

    def _tap(self, place: str, name: str) -> Target:
        kept = [self._outcome.out.setdefault(each, []) for each in {place, name} & self._trial.watched]
        reached, time = self._outcome.reached, self._time

        def tap(batch: Batch) -> None:
            reached.add(place)
            for each in kept:
                each.extend(Left(time.elapsed(), row.head, row.payload) for row in batch.rows())
            _end(batch)

        return tap


def _end(batch: Batch) -> None:
    """The copy that looks at a batch, or a cut arm, is done with it."""
    if batch.tracker is not None:
        batch.tracker.settle(batch.seqs)


def _stand_ins(trial: Trial, plan: Plan) -> dict[str, Any]:
    made = {}
    for name, stub in trial.stubs.items():
        node, arm = plan.nodes.get(name), name.rpartition(".")
        if node is not None:
            arms = len(node.targets) == len(ARMS)
            made[name] = stub_operator(name, kind_of(node.operation), stub, trial.path.parent, arms=arms)
        elif arm[2] not in ARMS or arm[0] not in plan.nodes or len(plan.nodes[arm[0]].targets) != len(ARMS):
            raise TrialError(f"stub '{name}': the graph has no such operation or arm")
        elif stub.passes is not False:
            raise TrialError(f"stub '{name}': an arm is cut with {{pass: false}}")
    return made


def _eased(plan: Plan, schemas: tuple[tuple[str, str, str], ...]) -> Plan:
    """The plan without what depends on real time, and with a test's schemas."""
    nodes = {name: _eased_node(node, schemas) for name, node in plan.nodes.items()}
    return replace(plan, nodes=nodes, budget=NO_BUDGET)


def _eased_node(node: NodePlan, schemas: tuple[tuple[str, str, str], ...]) -> NodePlan:
    resources = node.operation.resources
    eased: dict[str, object] = {"cpu": None, "isolation": "thread"}
    eased["deadline"] = max(resources.deadline, DEADLINE_SECONDS)
    changes: dict[str, object] = {"resources": resources.model_copy(update=eased)}
    if isinstance(node.operation, SourceOperation):
        changes["overflow"] = "wait"
    return replace(node, operation=node.operation.model_copy(update=changes), schemas=(*node.schemas, *schemas))


def _finish(outcome: Outcome, around: _Around, ends: TrialEndpoints, graph: RunningGraph) -> None:
    outcome.counters = {name: counted(node.counters) for name, node in graph.nodes.items()}
    outcome.counters |= {name: counted(entrance.counters) for name, entrance in graph.entrances.items()}
    outcome.reached |= {name for name, counters in outcome.counters.items() if counters["received"]}
    outcome.open = sum(source.open_count() for source in ends.sources.values())
    outcome.letters = list(around.letters.list(_LETTERS_MAX))[::-1]
    outcome.state = dict(around.states.items())


class _Log:
    """What the graph said, as lines of its log; the first of them."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def __call__(self, event: Any) -> None:
        if len(self._lines) < _LOG_MAX and not isinstance(event, _UNSAID):
            line = line_of(event)
            self._lines.append(f"{line.level}: {line.where}: {line.text}")
