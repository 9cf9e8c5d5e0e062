"""Nodes of a running graph exchanged between two messages, connections of the graph left standing.

Nodes of one stage are exchanged by the stage's own thread, between two batches: nothing waits but that thread, for the
microseconds in which state is handed over. Where more differs, no message may meet the old form of one node and the new
one of another. Then the sources are held back, what is under way passes through, the stages rest, and everything is
exchanged at once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from time import monotonic, sleep

from flowrt.endpoints.base import EndpointCounters, Resubscribing
from flowrt.errors import FlowrtError, NodeFault
from flowrt.graph.difference import Difference
from flowrt.graph.plan import Plan
from flowrt.operators.base import Operator
from flowrt.operators.source import SourceOperation
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.parts import NodeParts
from flowrt.runtime.stage import Errand, Stage
from flowrt.runtime.state import hand_over
from flowrt.runtime.wiring import connect, head_stage, stage_for
from flowrt.values import Struct

LOOK_SECONDS = 0.0002
"""How often a stage that empties is looked at: a fraction of what a batch takes."""

HandOver = Callable[[Operator, Operator], object]
"""Gives an operator the state of the one it replaces; raises `NodeFault` when that is refused."""


class SwapRefused(FlowrtError):
    """Nothing was exchanged; what ran before runs on. The message says why."""


class Swapped(Struct, frozen=True):
    """What was exchanged, and how long messages stood still for it, in seconds."""

    plan: Plan
    """The plan before."""
    parts: Mapping[str, NodeParts]
    """The parts before."""
    pause: float


def swap(
    graph: RunningGraph,
    plan: Plan,
    parts: Mapping[str, NodeParts],
    what: Difference,
    timeout: float,
    state: HandOver = hand_over,
    then: Callable[[], None] = lambda: None,
) -> Swapped:
    """Let a running graph consist of `parts`, wired as `plan` says. `what` is the difference to its present plan; parts
    of nodes that do not differ are those it has. `then` is called when all is exchanged, before the next message.

    Raises `SwapRefused` when that cannot be done within `timeout` seconds because a stage does not come to rest, or
    when a state is refused.
    """
    with graph.swapping:
        if graph.stopped:
            raise SwapRefused("the graph is ending")
        before = graph.plan, graph.parts
        pairs = [(graph.parts[name], parts[name]) for name in what.changed]
        stages = {graph.plan.nodes[name].stage for name in what.changed}
        for name in what.made:
            parts[name].start()
        try:
            if not what.made and not what.gone and not what.rewired:  # only what sources subscribe to
                graph.take(plan, parts, graph.plan_stages)
                then()
                pause = 0.0
            elif len(stages) == 1 and not what.rewired:
                pause = _within_stage(graph, plan, parts, pairs, graph.plan_stages[stages.pop()], timeout, state, then)
            else:
                pause = _whole(graph, plan, parts, pairs, timeout, state, then)
        except NodeFault as fault:
            raise SwapRefused(f"the new version refuses the state of the old one: {fault}") from fault
        _resubscribe(graph, plan, what)
        return Swapped(*before, pause)


def _resubscribe(graph: RunningGraph, plan: Plan, what: Difference) -> None:
    """Once what is to handle it is in place."""
    for name in what.resubscribed:
        source, operation = graph.sources[name], plan.nodes[name].operation
        if isinstance(source, Resubscribing) and isinstance(operation, SourceOperation):
            source.resubscribe(operation.topics)


def place_operator(graph: RunningGraph, name: str, operator: Operator, timeout: float) -> None:
    """Let a node work with another operator from the next batch on. Raises `SwapRefused`."""
    node = graph.nodes[name]
    with graph.swapping:
        if graph.stopped:
            raise SwapRefused("the graph is ending")
        stage = graph.plan_stages[graph.plan.nodes[name].stage]
        on_stage(stage, lambda: setattr(node, "operator", operator), timeout)


def on_stage(stage: Stage, work: Callable[[], None], timeout: float) -> None:
    """Have something done by a stage's thread between two batches, and wait for it. What `work` raises is raised here.
    Raises `SwapRefused` when the stage is at one batch for longer than `timeout` seconds."""
    failed: list[Exception] = []

    def guarded() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001 - it belongs to who asked, not to the stage
            failed.append(error)

    errand = Errand(guarded)
    stage.post(errand)
    if not errand.done.wait(timeout) and errand.withdraw():
        raise SwapRefused(
            f"stage '{stage.name}' is at one batch for longer than {timeout:g} s: is what it sends to away?"
        )
    errand.done.wait()
    if failed:
        raise failed[0]


def _within_stage(
    graph: RunningGraph,
    plan: Plan,
    parts: Mapping[str, NodeParts],
    pairs: Sequence[tuple[NodeParts, NodeParts]],
    stage: Stage,
    timeout: float,
    state: HandOver,
    then: Callable[[], None],
) -> float:
    stages = list(graph.plan_stages)
    pause: list[float] = []

    def exchange() -> None:
        began = monotonic()
        _hand_over(pairs, state)
        connect(plan, parts, graph.entrances, stages)
        for running, wanted in zip(stages, plan.stages, strict=True):
            if running is stage:
                head_stage(running, wanted, parts)
        graph.take(plan, parts, stages)
        then()
        pause.append(monotonic() - began)

    on_stage(stage, exchange, timeout)
    return pause[0]


def _whole(
    graph: RunningGraph,
    plan: Plan,
    parts: Mapping[str, NodeParts],
    pairs: Sequence[tuple[NodeParts, NodeParts]],
    timeout: float,
    state: HandOver,
    then: Callable[[], None],
) -> float:
    until = monotonic() + timeout
    heads = {names.nodes[0]: stage for names, stage in zip(graph.plan.stages, graph.plan_stages, strict=True)}
    stages = [heads.get(stage.nodes[0]) or stage_for(plan, stage, parts) for stage in plan.stages]
    fresh = [stage for stage in stages if stage not in heads.values()]
    for stage in fresh:
        stage.start()
    try:
        with _held(graph, until) as began, _at_rest(graph.plan_stages, until):
            _hand_over(pairs, state)
            for running, wanted in zip(stages, plan.stages, strict=True):
                head_stage(running, wanted, parts)
            connect(plan, parts, graph.entrances, stages)
            retired = [stage for stage in graph.plan_stages if stage not in stages]
            graph.take(plan, parts, stages)
            then()
            pause = monotonic() - began
    except BaseException:
        for stage in fresh:
            stage.finish(0.0)
        raise
    for stage in retired:
        stage.finish(max(0.1, until - monotonic()))
    return pause


@contextmanager
def _held(graph: RunningGraph, until: float) -> Iterator[float]:
    """Keep sources from delivering; gives the moment since when they do not."""
    with ExitStack() as stack:
        began = monotonic()
        for name, entrance in graph.entrances.items():
            if not entrance.gate.acquire(timeout=max(0.0, until - monotonic())):
                raise SwapRefused(f"source '{name}' waits in a full graph: is what it sends to away?")
            stack.callback(entrance.gate.release)
        yield began


@contextmanager
def _at_rest(stages: Iterable[Stage], until: float) -> Iterator[None]:
    """Stages with nothing under way, their threads waiting. Stages feed only later ones: one that is idle when those
    before it are stays so."""
    go_on = threading.Event()
    try:
        for stage in stages:
            while not stage.idle():
                if monotonic() > until:
                    raise SwapRefused(f"stage '{stage.name}' does not come to rest: is what it sends to away?")
                sleep(LOOK_SECONDS)
            arrived = threading.Event()
            stage.post(Errand(partial(_rest, arrived, go_on)))
            if not arrived.wait(max(0.1, until - monotonic())):
                raise SwapRefused(f"stage '{stage.name}' does not come to rest")
        yield
    finally:
        go_on.set()


def _rest(arrived: threading.Event, go_on: threading.Event) -> None:
    arrived.set()
    go_on.wait()


def _hand_over(pairs: Sequence[tuple[NodeParts, NodeParts]], state: HandOver) -> None:
    for old, new in pairs:
        state(old.node.operator, new.node.operator)
        if old.sink is not None and new.sink is not None:
            go_on_counting(old.sink.counters, new.sink.counters)


def go_on_counting(old: EndpointCounters, new: EndpointCounters) -> None:
    """A sink that takes the place of another counts on from it."""
    if old is not new:
        for name in EndpointCounters.__slots__:
            setattr(new, name, dict(old.dropped) if name == "dropped" else getattr(old, name))
