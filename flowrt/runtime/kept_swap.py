"""Nodes that keep something on disk, exchanged while windows are open: the new one keeps what the old one kept."""

from __future__ import annotations

from collections.abc import Sequence

from flowrt.errors import NodeFault
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.keeping import KeepingNode
from flowrt.runtime.parts import NodeParts
from flowrt.runtime.stage import Errand
from flowrt.runtime.timed import TimedNode
from flowrt.runtime.timed_stage import TimedStage

Pairs = Sequence[tuple[NodeParts, NodeParts]]
"""What goes and what comes in its place."""


def take_over_kept(pairs: Pairs) -> None:
    """By the thread of their stage, or while all is at rest. Raises `NodeFault`; then the old ones have all that they
    had."""
    done: list[tuple[KeepingNode, KeepingNode]] = []
    try:
        for old, new in kept(pairs):
            new.take_over(old)
            done.append((old, new))
    except NodeFault:
        for old, new in reversed(done):
            old.take_over(new)
        raise


def exchange_kept(graph: RunningGraph, pairs: Pairs) -> None:
    """Once everything is connected: marks, commits and confirmations reach the new ones, which go on when their stage
    next does something."""
    for old, new in kept(pairs):
        stage = graph.plan_stages[graph.plan.nodes[new.name].stage]
        if isinstance(stage, TimedStage):
            stage.exchange(old, new)
        if graph.timing is not None and isinstance(old, TimedNode) and isinstance(new, TimedNode):
            graph.timing.exchange(old, new)
        stage.post(Errand(new.go_on))


def kept(pairs: Pairs) -> list[tuple[KeepingNode, KeepingNode]]:
    """Those of the pairs that keep something."""
    return [
        (old.node, new.node)
        for old, new in pairs
        if isinstance(old.node, KeepingNode) and isinstance(new.node, KeepingNode)
    ]
