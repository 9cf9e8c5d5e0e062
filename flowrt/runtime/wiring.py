"""Connections between running nodes: which call or inbox a node hands its results to, as a plan says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from flowrt.graph.plan import NodePlan, Plan, StagePlan
from flowrt.graph.timing import keeping, relaying
from flowrt.runtime.ends import Entrance
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.keeping import KeepingNode
from flowrt.runtime.node import Node, Target
from flowrt.runtime.parts import NodeParts
from flowrt.runtime.stage import Stage
from flowrt.runtime.timed_inbox import TimedInbox
from flowrt.runtime.timed_stage import TimedStage

Parts = Mapping[str, NodeParts]
"""By node."""


def stage_for(plan: Plan, stage: StagePlan, parts: Parts) -> Stage:
    """A stage of a plan, not started."""
    head = parts[stage.nodes[0]]
    left = head.pool.left if head.guest else None
    name = f"{plan.name}/{stage.nodes[0]}"
    if stage.nodes[0] in relaying(plan) or keeping(plan).intersection(stage.nodes):
        timed = TimedInbox(stage.inbox, stage.inbox_bytes, left)
        head.node.holds.append(timed.size)
        nodes = [parts[inner].node for inner in stage.nodes]
        kept = [node for node in nodes if isinstance(node, KeepingNode)]
        return TimedStage(name, timed, head.node.accept, stage.batch, stage.wait, kept)
    inbox = Inbox(stage.inbox, stage.inbox_bytes, left)
    head.node.holds.append(inbox.size)
    return Stage(name, inbox, head.node.accept, stage.batch, stage.wait)


def head_stage(running: Stage, stage: StagePlan, parts: Parts, before: NodeParts | None = None) -> None:
    """Let a running stage feed what now stands at its head, in the place of what stood there before, if that was
    another node. Its thread must be at rest."""
    head = parts[stage.nodes[0]]
    if before is not None and before is not head and running.inbox.size in before.node.holds:
        before.node.holds.remove(running.inbox.size)
    running.name = f"{head.node.graph}/{head.node.name}"
    running.feed(head.node.accept, stage.batch, stage.wait)
    running.inbox.bound(stage.inbox, stage.inbox_bytes, head.pool.left if head.guest else None)
    if running.inbox.size not in head.node.holds:
        head.node.holds.append(running.inbox.size)


def connect(plan: Plan, parts: Parts, entrances: Mapping[str, Entrance], stages: Sequence[Stage]) -> None:
    """Tell every node and every entrance whom it feeds. `stages` are those of the plan, in its order."""
    for name, entrance in entrances.items():
        entrance.inboxes = [stages[plan.nodes[to].stage].inbox for to in plan.nodes[name].targets[0]]
    for name, part in parts.items():
        node = plan.nodes[name]
        _retry_beside(part.node, node, stages[node.stage])
        part.node.targets = [[_target(node, plan.nodes[to], parts, stages) for to in port] for port in node.targets]


def _retry_beside(running: Node, node: NodePlan, stage: Stage) -> None:
    """Nodes that keep something try again in place: their state decides the order."""
    retries = node.operation.on_error.policy == "retry" or node.name in stage.retrying
    if retries and running.retrying is None and not isinstance(running, KeepingNode):
        running.retry_beside(stage, node.operation.resources.inbox)


def _target(node: NodePlan, to: NodePlan, parts: Parts, stages: Sequence[Stage]) -> Target:
    return parts[to.name].node.accept if to.stage == node.stage else stages[to.stage].inbox.put
