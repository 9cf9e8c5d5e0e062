"""From a plan and its running nodes to what moves logical time through them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from flowrt.errors import FlowrtBug
from flowrt.graph.plan import NodePlan, Plan
from flowrt.graph.timing import relaying
from flowrt.operators.source import SourceOperation
from flowrt.runtime.ends import Entrance
from flowrt.runtime.parts import NodeParts
from flowrt.runtime.stage import Stage
from flowrt.runtime.timed import TimedNode
from flowrt.runtime.timed_inbox import Take, TimedInbox
from flowrt.runtime.timed_stage import TimedStage
from flowrt.runtime.timing import MakeClock, Relay, TimedEntrance, Timing


def timing_of(
    plan: Plan,
    parts: Mapping[str, NodeParts],
    entrances: Mapping[str, Entrance],
    stages: Sequence[Stage],
    clock: MakeClock,
) -> Timing | None:
    """The timing of a graph that is connected; None for one that needs none."""
    names = relaying(plan)
    if not names:
        return None
    nodes = [part.node for part in parts.values() if isinstance(part.node, TimedNode)]
    timing = Timing(clock, nodes, [stage for stage in stages if isinstance(stage, TimedStage)])
    relays = timing.relays = {name: Relay() for name in names if name in parts}
    for node in nodes:
        relays[node.name].work = node.pass_to
        node.woken = timing.watch(node.name)
    for name in names:
        behind = [to for port in plan.nodes[name].targets for to in port if to in names]
        takes = [_take(plan.nodes[name], plan.nodes[to], relays[to].input(), stages) for to in behind]
        if name in relays:
            relays[name].targets = takes
        else:
            timing.entrances[name] = _entrance(plan.nodes[name], entrances[name], timing)
            timing.entrances[name].targets = takes
    return timing


def _entrance(node: NodePlan, entrance: Entrance, timing: Timing) -> TimedEntrance:
    lateness = node.operation.lateness if isinstance(node.operation, SourceOperation) else 0.0
    return TimedEntrance(entrance.deliver, timing.clock, int(lateness * 1000), entrance.counters)


def _take(node: NodePlan, to: NodePlan, take: Take, stages: Sequence[Stage]) -> Take:
    if node.stage == to.stage:
        return take
    inbox = stages[to.stage].inbox
    if not isinstance(inbox, TimedInbox):
        raise FlowrtBug(f"the stage of '{to.name}' takes no marks")
    return partial(inbox.mark, take)
