"""What operations kept that their graph no longer has: set aside or left, and named, because its messages are
acknowledged."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from flowrt.endpoints.registry import SPOOLS, has_spool
from flowrt.errors import StartError
from flowrt.events import CheckpointSetAside, SpoolLeft
from flowrt.graph.plan import Plan
from flowrt.operators.sink import SinkOperation
from flowrt.runtime.surroundings import Surroundings
from flowrt.state.checkpoints import ASIDE_SUFFIX


def set_orphans_aside(plan: Plan, around: Surroundings) -> None:
    """For a graph that starts. A file that cannot be read is the business of whoever keeps something in it."""
    if not around.checkpoints_file.exists():
        return
    store = around.checkpoints
    with suppress(StartError, sqlite3.Error):
        for node in store.nodes(plan.name):
            if node not in plan.nodes and ASIDE_SUFFIX not in node:
                entries = store.put_aside(plan.name, node)
                around.emit(CheckpointSetAside(plan.name, node, entries, "the graph has no such operation any more"))


def tell_left_spools(plan: Plan, around: Surroundings) -> None:
    """For a graph that starts: spools that nobody is going to send."""
    folder = around.state / SPOOLS
    if not folder.exists():
        return
    from flowrt.delivery.spool.check import look, places  # of a gateway that has never spooled nobody asks

    with suppress(OSError):
        for place in places(folder):
            if place.graph != plan.name or _sends(plan, place.sink):
                continue
            if messages := look(place.folder, whole=False).messages:
                around.emit(SpoolLeft(plan.name, place.sink, messages))


def _sends(plan: Plan, sink: str) -> bool:
    operation = plan.nodes[sink].operation if sink in plan.nodes else None
    return isinstance(operation, SinkOperation) and has_spool(operation, plan.endpoints.get(operation.endpoint or ""))
