"""An update that a running graph cannot take in: its ends or its budget differ. The graph is drained and the new one
started in its place, while the broker keeps what comes; and back, when the new one is worse."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from time import monotonic
from typing import Unpack

from flowrt.errors import NodeFault, StartError
from flowrt.graph.plan import Plan
from flowrt.runtime.build import build
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.keeping import KeepingNode
from flowrt.runtime.node import Node
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.state import hand_over, state_of, unwrapped
from flowrt.updates.checks import begin_again, golden_fault, golden_words
from flowrt.updates.compiling import compile_beside
from flowrt.updates.counted import Counted
from flowrt.updates.step import LOOK_SECONDS, Cut, Failed, Given, Steps, as_failed
from flowrt.updates.trial import TRIED, Watched
from flowrt.updates.turns import SHORT_TURNS
from flowrt.updates.verdict import Tally


class Restart(Steps):
    """An update that replaces a whole graph."""

    def __init__(
        self, runtime: Runtime, graph: RunningGraph, plan: Plan, *, drain: float, stored: Callable[[Plan], Plan],
        **given: Unpack[Given],
    ) -> None:  # fmt: skip
        """`stored` gives a plan whose modules and models lie in the store: files beside the graph may have changed."""
        super().__init__(runtime, graph, plan, **given)
        self._drain = drain
        self._stored = stored
        self._watched: list[Watched | Counted] = []
        self._old = graph

    def through(self) -> None:
        was_ready = self._old.ready()
        new = self._built()
        try:
            self._check(new)
            self.go("take", "")
        except Exception as error:  # noqa: BLE001 - see `as_failed`
            failed = as_failed(error)
            _close(new)
            raise failed from failed.__cause__
        self._exchange(self._old, new)
        try:
            if was_ready:
                self._until_ready(new)
            self.settled.set()
            self._watch(new)
        except Exception as error:  # noqa: BLE001 - see `as_failed`
            failed = as_failed(error)
            self._go_back(new)
            raise failed from failed.__cause__
        for name, node in new.nodes.items():
            if isinstance(node.operator, Watched):
                node.operator = new.parts[name].node.operator = node.operator.new
        self.go("prove", "")

    def _built(self) -> RunningGraph:
        self.go("begin", str(self.what))
        try:
            compile_beside(self.plan.nodes.values(), self._runtime.surroundings)
            with SHORT_TURNS:
                new = build(self.plan, self._runtime.surroundings)
        except (StartError, NodeFault) as error:
            raise Failed(f"init: {error}") from error
        new.updates = self._old.updates
        return new

    def _check(self, new: RunningGraph) -> None:
        updates, recorded = self.plan.updates, 0
        for name, node in new.nodes.items():
            known = self._recorded(self._old.plan, name) if name in self._old.nodes else ()
            recorded += len(known)
            begun = state_of(node.operator)
            if (wrong := golden_fault(node.operator, node.begin, self.plan, name, known)) is not None:
                raise Failed(f"golden: {wrong}")
            begin_again(node.operator, begun)
            self._check_state(name, node)
            begin_again(node.operator, begun)
            if isinstance(node, KeepingNode):  # nothing may stand between it and its operator
                self._watched.append(Counted(node.counters, updates.bounds, known=False))
            elif isinstance(self.plan.nodes[name].operation, TRIED):
                watched = Watched(node.operator, Tally(), updates.bounds)
                self._watched.append(watched)
                node.operator = watched
        self.go("check", golden_words(updates, recorded))
        self.go("shadow", "not run beside the old version")

    def _check_state(self, name: str, node: Node) -> None:
        """A state that the new version refuses is better known before the old one has stopped."""
        try:
            self._carry(self._old.nodes.get(name), node)
        except NodeFault as fault:
            raise Failed(f"state: the new version of '{name}' refuses the state of the old one: {fault}") from fault

    def _carry(self, old: Node | None, new: Node) -> None:
        """The state of a module that keeps it in memory; what is on disk is read from there. Raises `NodeFault`."""
        if old is not None and self.plan.updates.state == "carry" and not isinstance(new, KeepingNode):
            hand_over(unwrapped(old.operator), unwrapped(new.operator))

    def _exchange(self, old: RunningGraph, new: RunningGraph) -> None:
        began = monotonic()
        old.stop(self._drain)
        for name, node in new.nodes.items():
            with suppress(NodeFault):  # it took one before; then it begins afresh, as after a crash
                self._carry(old.nodes.get(name), node)
        self._runtime.replace(old, new)
        new.start()
        self.graph = new
        self.stood_still(monotonic() - began)

    def _until_ready(self, new: RunningGraph) -> None:
        until = monotonic() + self.plan.updates.timeout
        while not new.ready():
            if monotonic() > until:
                raise Failed(f"ready: what ran before was ready; this is not after {self.plan.updates.timeout:g} s")
            if self.ending.wait(LOOK_SECONDS):
                raise Cut

    def _watch(self, new: RunningGraph) -> None:
        updates = self.plan.updates
        until = monotonic() + updates.probation
        given_up = None if updates.patience is None else monotonic() + updates.patience
        while True:
            self.look(new)
            for watched in self._watched:
                if watched.verdict is not None:
                    raise Failed(watched.verdict)
            enough = not self._watched or any(watched.seen >= updates.messages for watched in self._watched)
            enough = enough or (given_up is not None and monotonic() >= given_up)
            if monotonic() >= until and enough:
                return

    def _go_back(self, new: RunningGraph) -> None:
        """What failed versions have kept back stays unacknowledged: the broker sends it again."""
        try:
            old = build(self._stored(self._old.plan), self._runtime.surroundings)
        except (StartError, NodeFault) as error:
            raise Failed(f"other: it failed, and what ran before does not start any more: {error}") from error
        old.updates = new.updates
        self._exchange(new, old)


def _close(graph: RunningGraph) -> None:
    for part in graph.parts.values():
        part.close()
