"""What operations kept that their graph no longer has: set aside and named, because its messages are acknowledged."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

from flowrt.errors import StartError
from flowrt.events import CheckpointSetAside
from flowrt.graph.plan import Plan
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
