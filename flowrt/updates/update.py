"""One update: from the graph that runs to the one that is wanted, and back when that one is worse."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TypeVar, Unpack

from flowrt.errors import NodeFault, StartError
from flowrt.graph.difference import difference, is_source
from flowrt.graph.plan import Plan
from flowrt.graph.timing import needs_time
from flowrt.operators.base import Operator
from flowrt.operators.guest_config import GuestOperation
from flowrt.quota.quantity import format_bytes
from flowrt.runtime.build import build_beside, entrances_beside
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.keeping import KeepingNode
from flowrt.runtime.parts import NodeParts
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.state import hand_over, state_of, unwrapped
from flowrt.runtime.surroundings import Learning
from flowrt.runtime.swap import SwapRefused, place_operator, swap
from flowrt.updates.checks import begin_again, golden_fault, golden_words
from flowrt.updates.compiling import compile_beside
from flowrt.updates.counted import KNOWN_ROWS, Counted
from flowrt.updates.shadow import Beside, Shadowed
from flowrt.updates.step import LOOK_SECONDS, Cut, Failed, Given, Steps, as_failed
from flowrt.updates.trial import TRIED, Trial, Watched
from flowrt.updates.turns import SHORT_TURNS
from flowrt.updates.verdict import Tally, judge
from flowrt.values import replace

_Made = TypeVar("_Made")


class Update(Steps):
    """An update within a running graph."""

    def __init__(self, runtime: Runtime, graph: RunningGraph, plan: Plan, **given: Unpack[Given]) -> None:
        super().__init__(runtime, graph, plan, **given)
        self.tally = Tally()
        self._made: dict[str, NodeParts] = {}
        self._trials: dict[str, Trial | Watched] = {}
        self._counted: list[Counted] = []

    def through(self) -> None:
        try:
            self._prepare()
            with SHORT_TURNS:
                self._check()
            self._run_beside()
            self._divide()
            self._take()
        except Exception as error:  # noqa: BLE001 - see `as_failed`
            failed = as_failed(error)
            self._end_beside()
            for part in self._made.values():
                part.close()
            raise failed from failed.__cause__

    # Each step.

    def _prepare(self) -> None:
        self.go("begin", str(self.what))
        plan, what = self.plan, self.what
        try:
            compile_beside([plan.nodes[name] for name in what.made], self._runtime.surroundings)
            if isinstance(endpoints := self.graph.shared.endpoints, Learning):
                endpoints.learn(plan.endpoints)
            with SHORT_TURNS:
                self._made = build_beside(self.graph, plan, what.made, self._runtime.surroundings)
        except (StartError, NodeFault) as error:
            raise Failed(f"init: {error}") from error

    def _check(self) -> None:
        updates, recorded = self.plan.updates, 0
        for name, part in self._made.items():
            operator = part.node.operator
            begun = state_of(operator)
            known = self._recorded(self.graph.plan, name) if name in self.what.changed else ()
            recorded += len(known)
            wrong = golden_fault(operator, part.node.begin, self.plan, name, known)
            if wrong is not None:
                raise Failed(f"golden: {wrong}")
            begin_again(operator, begun)
        self._check_state()
        self._check_budget()
        self.go("check", golden_words(updates, recorded))

    def _check_state(self) -> None:
        """A state that the new version refuses is better known before anything waits for it."""
        if self.plan.updates.state == "fresh":
            return
        for name in self.what.changed:
            begun = state_of(self._made[name].node.operator)
            try:
                self._made[name].node.begin()
                hand_over(unwrapped(self.graph.parts[name].node.operator), self._made[name].node.operator)
                begin_again(self._made[name].node.operator, begun)
            except NodeFault as fault:
                raise Failed(f"state: the new version of '{name}' refuses the state of the old one: {fault}") from fault

    def _check_budget(self) -> None:
        """Less memory than is held already is no bound that could be kept."""
        pool, wanted = self.graph.shared.pool, self.plan.budget.memory
        if self.what.budget and pool is not None and wanted is not None and wanted < pool.used:
            held = format_bytes(pool.used)
            raise Failed(
                f"memory: its operations hold {held} already, more than {format_bytes(wanted)}", remember=False
            )

    def _run_beside(self) -> None:
        """Live messages, given to the new version beside the old one."""
        updates = self.plan.updates
        name = self._single()
        if name is None or not updates.shadow or updates.state == "fresh":
            self.go("shadow", "not run beside the old version")
            return
        tally = self.tally = self._tally(name)
        part, old = self._made[name], self.graph.nodes[name]
        operator, begun = part.node.operator, state_of(part.node.operator)
        looked = threading.Event()
        beside = Beside(operator, tally, updates.bounds, begin=part.node.begin, judged=looked.set, timed=True)
        shadowed = Shadowed(old.operator, beside, updates.shadow)
        try:
            self._place(name, shadowed)
            self._watch(updates.shadow_time, lambda: shadowed.done.is_set() and beside.caught_up())
            self._place(name, shadowed.inner)
        except BaseException:
            old.operator = shadowed.inner  # safe from any thread: a call under way goes on with what it began with
            raise
        finally:
            beside.close()
        if (reason := judge(tally, updates.bounds)) is not None:
            raise Failed(reason)
        begin_again(operator, begun)
        self.go("shadow", f"{tally.compared} messages, {tally.differing} came out differently")

    def _divide(self) -> None:
        """Some topics for the new version, the others for the old one."""
        updates = self.plan.updates
        name = self._single()
        if name is None or not updates.canary:
            return
        if state_of(unwrapped(self.graph.nodes[name].operator)) is not None:
            raise Failed(f"other: '{name}' keeps state, which cannot be divided by topic; use shadow", remember=False)
        trial = self._trial(name, updates.canary)
        self.go("divide", f"{updates.canary:.0%} of the topics")
        self._place(name, trial)
        try:
            self._watch(updates.canary_time, lambda: False)
        finally:
            self._insist(lambda: place_operator(self.graph, name, trial.old, self.plan.updates.timeout))

    def _insist(self, exchange: Callable[[], _Made]) -> _Made:
        """Exchange something, as often as it takes: a stage may be at work of the version that is to go. Raises
        `Cut`."""
        while True:
            try:
                return exchange()
            except SwapRefused:
                if self.graph.stopped or self.ending.wait(LOOK_SECONDS):
                    raise Cut from None

    def _take(self) -> None:
        graph, plan, what = self.graph, self.plan, self.what
        timeout = plan.updates.timeout
        self._wrap()
        was_ready = graph.ready()
        kept = {name: part for name, part in graph.parts.items() if name in plan.nodes}
        parts = {name: self._made.get(name) or kept[name] for name, node in plan.nodes.items() if not is_source(node)}
        try:
            entrances = entrances_beside(graph, plan, what.opened, self._runtime.surroundings)
            before = swap(graph, plan, parts, what, timeout, self._carry, entrances=entrances)
        except SwapRefused as refused:
            if graph.stopped:
                raise Cut from None
            kind = "state" if "state" in str(refused) else "rest"
            raise Failed(f"{kind}: {refused}", remember=kind == "state") from refused
        self.stood_still(before.pause)
        self._runtime.refresh()
        try:
            self.go("take", "")
            self._taken = monotonic()
            sinks = was_ready and any(part.sink is not None for part in self._made.values())
            if what.resubscribed or what.opened or sinks:
                self._until_ready()
            self.settled.set()
            self._watch(plan.updates.probation, lambda: False, self._enough)
        except Exception as error:  # noqa: BLE001 - see `as_failed`
            failed = as_failed(error)
            self._end_beside()  # it works with the old version, which has work of its own again
            self._swap_back(before.plan, before.parts, failed)
            raise failed from failed.__cause__
        finally:
            self._end_beside()
        self._unwrap()
        self.go("prove", "")
        for name in what.gone:
            before.parts[name].retire(timeout)

    def _until_ready(self) -> None:
        """A broker may refuse a topic, or not be there. Raises `Failed` and `Cut`."""
        until = monotonic() + self.plan.updates.timeout
        while not self.graph.ready():
            self.look(self.graph)
            if monotonic() > until:
                late = f"after {self.plan.updates.timeout:g} s"
                raise Failed(f"ready: not every topic is subscribed, or not every sink connected, {late}")

    def _swap_back(self, plan: Plan, parts: Mapping[str, NodeParts], failed: Failed) -> None:
        """A trial that has tripped gives everything to the old version meanwhile."""
        back = difference(self.plan, plan)
        entrances = entrances_beside(self.graph, plan, back.opened, self._runtime.surroundings)
        drifted = failed.reason.startswith("drift")
        carry = (lambda *_: None) if drifted else self._carry_back
        timeout = self.plan.updates.timeout
        made = self._insist(lambda: swap(self.graph, plan, parts, back, timeout, carry, self._give_back, entrances))
        self.stood_still(made.pause)
        self._runtime.refresh()
        for part in self._made.values():
            part.retire(self.plan.updates.timeout)

    def _give_back(self) -> None:
        """What failed versions have kept back, to the old ones. What came to a node that has none becomes its fault."""
        for name, trial in self._trials.items():
            for batch in trial.held if isinstance(trial, Watched) else ():
                if name in self.graph.nodes:
                    self.graph.nodes[name].accept(batch)
                else:
                    self._made[name].node.refuse(batch, NodeFault("disabled", f"rolled back: {trial.verdict}"))

    # Trials.

    def _single(self) -> str | None:
        """The only node that differs, where both versions of it can stand in for each other."""
        what = self.what
        if len(what.changed) != 1 or what.added or what.removed or what.rewired:
            return None
        name = what.changed[0]
        old, new = self.graph.plan.nodes[name].operation, self.plan.nodes[name].operation
        return name if type(old) is type(new) and isinstance(new, TRIED) and not needs_time(new) else None

    def _wrap(self) -> None:
        name = self._single()
        if name is not None:
            self._made[name].node.operator = self._trial(name, 1.0)
            return
        for made, part in self._made.items():
            if isinstance(part.node, KeepingNode):
                known = made in self.what.changed
                self._counted.append(Counted(part.node.counters, self.plan.updates.bounds, known=known))
            elif isinstance(self.plan.nodes[made].operation, TRIED):
                watched = Watched(part.node.operator, self._tally(made), self.plan.updates.bounds)
                part.node.operator = self._trials[made] = watched

    def _trial(self, name: str, share: float) -> Trial:
        bounds = self.plan.updates.bounds
        part, old = self._made[name], self.graph.parts[name]
        tally = self.tally = self._tally(name)
        lock = threading.Lock()
        old_operator = unwrapped(old.node.operator)
        beside = None
        if bounds.drift is not None and share >= 1.0:
            beside = Beside(
                old_operator, tally, bounds, begin=old.node.begin, judged=lambda: None, timed=False, lock=lock
            )
        self._end_beside()
        self._beside = beside
        trial = Trial(
            unwrapped(part.node.operator),
            old_operator,
            tally,
            bounds,
            share=share,
            begin=old.node.begin if share >= 1.0 else part.node.begin,
            compared=beside,
            old_lock=lock,
        )
        self._trials = {name: trial}
        return trial

    _beside: Beside | None = None
    _taken = 0.0
    """When the new version took over, on the monotonic clock."""

    def _end_beside(self) -> None:
        if self._beside is not None:
            self._beside.close()
            self._beside = None

    def _unwrap(self) -> None:
        for name in self._trials:
            self._place(name, unwrapped(self.graph.nodes[name].operator))
        self._trials = {}

    def _tally(self, name: str) -> Tally:
        counters = self._made[name].node.counters
        operation = self.plan.nodes[name].operation
        known = counters.received >= KNOWN_ROWS and name in self.what.changed
        return Tally(
            old_memory=self.graph.nodes[name].operator.memory_bytes() if name in self.graph.nodes else 0,
            memory_limit=operation.resources.memory if isinstance(operation, GuestOperation) else 0,
            old_seconds=counters.processing.sum / counters.received if known else None,
        )

    def _carry(self, old: Operator, new: Operator) -> None:
        if self.plan.updates.state == "carry":
            hand_over(unwrapped(old), unwrapped(new))

    def _carry_back(self, new: Operator, old: Operator) -> None:
        """A state that the old version does not take is left: it goes on from its own. One that a tripped trial has put
        to work already has gone on."""
        if isinstance(new, Trial) and new.verdict is not None:
            return
        with contextlib.suppress(NodeFault):
            hand_over(unwrapped(new), unwrapped(old))

    def _place(self, name: str, operator: Operator) -> None:
        try:
            place_operator(self.graph, name, operator, self.plan.updates.timeout)
        except SwapRefused as refused:
            if self.graph.stopped:
                raise Cut from None
            raise Failed(f"rest: {refused}", remember=False) from refused

    def _watch(self, seconds: float, done: Callable[[], bool], enough: Callable[[], bool] = lambda: True) -> None:
        """Wait for `seconds` and until enough was seen, or until it is done. Raises `Failed` and `Cut`."""
        until = monotonic() + seconds
        while not done():
            self.look(self.graph)
            for trial in (*self._trials.values(), *self._counted):
                if trial.verdict is not None:
                    raise Failed(trial.verdict)
            if (reason := judge(self.tally, self.plan.updates.bounds)) is not None:
                raise Failed(reason)
            if monotonic() >= until and enough():
                return

    def _enough(self) -> bool:
        wanted, patience = self.plan.updates.messages, self.plan.updates.patience
        if patience is not None and monotonic() >= self._taken + patience:
            return True
        tried = (*self._trials.values(), *self._counted)
        return not tried or any(trial.seen >= wanted for trial in tried)


def same_but_words(running: Plan, wanted: Plan) -> Plan:
    """The plan that runs with what only people read of the wanted one."""
    return replace(running, version=wanted.version, path=wanted.path, text=wanted.text, updates=wanted.updates)
