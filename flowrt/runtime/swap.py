"""Nodes of a running graph exchanged between two messages, connections of the graph left standing.

What differs within one stage is exchanged by the stage's own thread, between two batches: nothing waits but that
thread, for the microseconds in which state is handed over. Where more differs, no message may meet the old form of one
node and the new one of another. So everything is exchanged at once at a moment at which nothing is under way. At most
loads such moments come by themselves, many a second; where none comes, the sources are held back until what is under
way has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from time import monotonic, sleep

from flowrt.endpoints.base import EndpointCounters, Resubscribing
from flowrt.errors import FlowrtError, NodeFault
from flowrt.graph.difference import Difference
from flowrt.graph.plan import NodePlan, Plan
from flowrt.operators.base import Operator
from flowrt.operators.source import SourceOperation
from flowrt.runtime.ends import Entrance
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.kept_swap import exchange_kept, take_over_kept
from flowrt.runtime.parts import NodeParts
from flowrt.runtime.stage import Errand, Stage
from flowrt.runtime.state import hand_over
from flowrt.runtime.wiring import connect, head_stage, stage_for
from flowrt.values import Struct

LOOK_SECONDS = 0.0002
"""How often is looked whether anything is under way: a fraction of what a batch takes."""
EMPTY_SECONDS = 2.0
"""How long to look for a moment at which nothing is under way before sources are held back for it."""

NO_ENTRANCES: Mapping[str, Entrance] = {}
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
    entrances: Mapping[str, Entrance] = NO_ENTRANCES,
) -> Swapped:
    """Let a running graph consist of `parts`, wired as `plan` says. `what` is the difference to its present plan; parts
    of nodes that do not differ are those it has. `then` is called when all is exchanged, before the next message;
    `entrances` are those of sources that are to be opened.

    Raises `SwapRefused` when that cannot be done within `timeout` seconds because a stage does not come to rest, or
    when a state is refused.
    """
    with graph.swapping:
        if graph.stopped:
            raise SwapRefused("the graph is ending")
        _require_empty_spools(graph, what)
        before = graph.plan, graph.parts
        pairs = [(graph.parts[name], parts[name]) for name in what.changed]
        stage = _only_stage(graph.plan, plan, what)
        for name in what.made:
            parts[name].start()
        try:
            wiring = what.made or what.gone or what.rewired or what.opened or what.closed
            if not wiring:  # only what sources subscribe to, or figures
                graph.take(plan, parts, graph.plan_stages)
                then()
                pause = 0.0
            elif stage is not None:
                pause = _within_stage(graph, plan, parts, pairs, graph.plan_stages[stage], timeout, state, then)
            else:
                ways = {name: way for name, way in graph.entrances.items() if name not in what.closed} | dict(entrances)
                pause = _whole(graph, plan, parts, pairs, timeout, state, then, ways)
        except NodeFault as fault:
            raise SwapRefused(f"the new version refuses the state of the old one: {fault}") from fault
        _exchange_ends(graph, plan, what)
        return Swapped(*before, pause)


def _require_empty_spools(graph: RunningGraph, what: Difference) -> None:
    """A spool has one sink at a time: the next one would overtake what waits there. Raises `SwapRefused`."""
    for name in what.changed:
        sink = graph.parts[name].sink
        if sink is not None and not sink.empty():
            raise SwapRefused(f"sink '{name}' has messages in its spool; it is exchanged once these are out")


def _exchange_ends(graph: RunningGraph, plan: Plan, what: Difference) -> None:
    """Once what is to handle it is in place."""
    if what.budget:
        graph.shared.bound(plan.budget)
    for name in what.closed:
        left = graph.close(name)
        if isinstance(left, Resubscribing):
            left.leave()
    for name in (*what.resubscribed, *what.opened):
        operation = plan.nodes[name].operation
        if isinstance(operation, SourceOperation):
            if name in what.opened:
                graph.open(name, graph.shared.endpoints.source(operation))
            elif isinstance(source := graph.sources[name], Resubscribing):
                source.resubscribe(operation)


def _only_stage(running: Plan, wanted: Plan, what: Difference) -> int | None:
    """The place of the one stage in which all differs; None where more than one does. What feeds it and what it feeds
    stays where it is: only its first node has an inbox, which is the stage's, whichever node that is."""
    places = {running.nodes[name].stage for name in what.gone} | {wanted.nodes[name].stage for name in what.made}
    for at, (one, other) in enumerate(zip(running.stages, wanted.stages, strict=False)):
        if one.nodes != other.nodes:
            places.add(at)
    for name, node in running.nodes.items():
        if name in wanted.nodes and node.targets != wanted.nodes[name].targets:
            if _fed(running, node) == _fed(wanted, wanted.nodes[name]):
                continue
            places.add(node.stage)
    ends = what.opened or what.closed
    retries = any(running.nodes[name].operation.on_error.policy == "retry" for name in what.removed)
    if len(running.stages) != len(wanted.stages) or len(places) != 1 or retries or ends:
        return None
    place = places.pop()
    return place if place >= 0 else None


def _fed(plan: Plan, node: NodePlan) -> list[list[int | str]]:
    """Whom a node feeds: nodes of its own stage by name, those of others by their stage, which takes for them."""
    nodes = plan.nodes
    return [[to if nodes[to].stage == node.stage else nodes[to].stage for to in port] for port in node.targets]


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
        place = stages.index(stage)
        head_stage(stage, plan.stages[place], parts, graph.parts[graph.plan.stages[place].nodes[0]])
        graph.take(plan, parts, stages)
        exchange_kept(graph, pairs)
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
    entrances: Mapping[str, Entrance],
) -> float:
    until = monotonic() + timeout
    heads = {names.nodes[0]: stage for names, stage in zip(graph.plan.stages, graph.plan_stages, strict=True)}
    stages = [heads.get(stage.nodes[0]) or stage_for(plan, stage, parts) for stage in plan.stages]
    fresh = [stage for stage in stages if stage not in heads.values()]
    for stage in fresh:
        stage.start()
    try:
        with _at_rest(graph, until) as began:
            _hand_over(pairs, state)
            for running, wanted in zip(stages, plan.stages, strict=True):
                head_stage(running, wanted, parts)
            connect(plan, parts, entrances, stages)
            retired = [stage for stage in graph.plan_stages if stage not in stages]
            for name in graph.entrances.keys() - entrances.keys():
                graph.entrances[name].inboxes = ()  # what still comes is nobody's, and counted as that
            graph.take(plan, parts, stages, entrances)
            exchange_kept(graph, pairs)
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
def _at_rest(graph: RunningGraph, until: float) -> Iterator[float]:
    """Nothing under way, and nothing can come; gives the moment since when sources cannot deliver. Stages feed only
    later ones: one that is idle when those before it are stays so."""
    with ExitStack() as held:
        began = _found_empty(graph, held, min(until, monotonic() + EMPTY_SECONDS))
        yield began if began is not None else _emptied(graph, held, until)


def _found_empty(graph: RunningGraph, held: ExitStack, until: float) -> float | None:
    """The moment at which nothing was under way, sources and stages held since; None when there was none."""
    while (began := monotonic()) < until:
        with ExitStack() as tried:
            if _hold(graph, tried, began) is None and _freeze(graph.plan_stages, tried) is None:
                held.enter_context(tried.pop_all())
                return began
        sleep(LOOK_SECONDS)
    return None


def _emptied(graph: RunningGraph, held: ExitStack, until: float) -> float:
    """The moment since when sources are held back, after which everything has passed. Raises `SwapRefused`."""
    began = monotonic()
    if (waiting := _hold(graph, held, until)) is not None:
        raise SwapRefused(f"source '{waiting}' waits in a full graph: is what it sends to away?")
    while True:
        with ExitStack() as tried:
            if (busy := _freeze(graph.plan_stages, tried)) is None:
                held.enter_context(tried.pop_all())
                return began
        if monotonic() > until:
            raise SwapRefused(f"stage '{busy.name}' does not come to rest: is what it sends to away?")
        sleep(LOOK_SECONDS)


def _hold(graph: RunningGraph, stack: ExitStack, until: float) -> str | None:
    """Keep sources from delivering; the name of one that is at it for longer, if any."""
    for name, entrance in graph.entrances.items():
        if not entrance.gate.acquire(timeout=max(0.0, until - monotonic())):
            return name
        stack.callback(entrance.gate.release)
    return None


def _freeze(stages: Iterable[Stage], stack: ExitStack) -> Stage | None:
    """Keep stages idle that are; the first that is not, if any. Who is told so must let go of them soon: what goes on
    beside them may be what the busy one waits for."""
    for stage in stages:
        if not stage.freeze():
            return stage
        stack.callback(stage.thaw)
    return None


def _hand_over(pairs: Sequence[tuple[NodeParts, NodeParts]], state: HandOver) -> None:
    for old, new in pairs:
        state(old.node.operator, new.node.operator)
    take_over_kept(pairs)
    for old, new in pairs:
        if old.sink is not None and new.sink is not None:
            go_on_counting(old.sink.counters, new.sink.counters)


def go_on_counting(old: EndpointCounters, new: EndpointCounters) -> None:
    """A sink that takes the place of another counts on from it."""
    if old is not new:
        for name in EndpointCounters.__slots__:
            setattr(new, name, dict(old.dropped) if name == "dropped" else getattr(old, name))
