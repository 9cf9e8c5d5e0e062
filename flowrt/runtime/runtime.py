"""All graphs of one process, from start to stop."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from time import monotonic

from flowrt.errors import NodeFault, StartError
from flowrt.events import GraphMissing
from flowrt.graph.plan import Plan
from flowrt.runtime.build import build
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.missing import Missing
from flowrt.runtime.orphans import set_orphans_aside, tell_left_spools
from flowrt.runtime.replay import Replayer
from flowrt.runtime.surroundings import Surroundings
from flowrt.runtime.view import GraphView, view


class Runtime:
    """Graphs that share one engine, one registry of models and one dead-letter store."""

    def __init__(self, plans: Sequence[Plan], surroundings: Surroundings, *, whole: bool = True) -> None:
        """Build every graph: modules compiled, models loaded and warm. Raises `StartError` or `NodeFault`; unless it is
        to be the `whole` of them, only when none comes up."""
        self.surroundings = surroundings
        self.graphs: list[RunningGraph] = []
        self.missing: dict[str, Missing] = {}
        """Those that have not come up, by name."""
        self._failures: dict[str, int] = {}
        """Of those that have come up after all, how often they had not."""
        self._replayer: Replayer | None = None
        try:
            self._build(plans, whole or len(plans) == 1)
        except BaseException:
            self.stop(0.0)
            raise
        self.views: list[GraphView] = []
        self._changing = threading.Lock()
        if surroundings.replays:
            self._replayer = Replayer(lambda: self.graphs, surroundings.letters)
        self.refresh()

    def refresh(self) -> None:
        """Show the graphs as they are now: after nodes were exchanged."""
        self.views = [
            *(view(graph, self._failures.get(graph.name, 0)) for graph in self.graphs),
            *(missing.view() for missing in self.missing.values()),
        ]

    def _build(self, plans: Sequence[Plan], whole: bool) -> None:  # noqa: FBT001 - private
        for plan in plans:
            try:
                self.graphs.append(build(plan, self.surroundings))
            except (StartError, NodeFault) as error:
                self.missing[plan.name] = Missing(plan, str(error))
                if whole or len(self.missing) == len(plans):
                    raise

    def look_for_missing(self, plans: Sequence[Plan] = ()) -> None:
        """Try graphs again that have not come up: those that are due, and those that `plans` say anew. The caller
        starts and stops the runtime."""
        said = {plan.name: plan for plan in plans}
        for name, missing in list(self.missing.items()):
            if not missing.due() and name not in said:
                continue
            missing.plan = said.get(name, missing.plan)
            try:
                graph = build(missing.plan, self.surroundings)
            except (StartError, NodeFault) as error:
                missing.failed(str(error))
                self._miss(missing)
                continue
            with self._changing:
                self.graphs = [*self.graphs, graph]
                self._failures[name] = self.missing.pop(name).failures
            self._start(graph)
            self.refresh()

    def _miss(self, missing: Missing) -> None:
        self.surroundings.emit(GraphMissing(missing.plan.name, missing.reason, missing.pause))

    def _start(self, graph: RunningGraph) -> None:
        set_orphans_aside(graph.plan, self.surroundings)
        tell_left_spools(graph.plan, self.surroundings)
        graph.start()

    def replace(self, old: RunningGraph, new: RunningGraph) -> None:
        """Let a graph take the place of another. Neither is started or stopped."""
        with self._changing:
            self.graphs = [new if graph is old else graph for graph in self.graphs]
        self.refresh()

    def start(self) -> None:
        for graph in self.graphs:
            self._start(graph)
        for missing in self.missing.values():
            self._miss(missing)
        if self._replayer is not None:
            self._replayer.start()

    def ready(self) -> bool:
        """Whether every graph is; asked by `/readyz` and until the line `ready` is written."""
        return not self.missing and all(graph.ready() for graph in self.graphs)

    def broken(self) -> bool:
        """Whether a thread has ended although nobody asked it to: a fault of ours, which only a restart mends."""
        return any(graph.broken() for graph in self.graphs)

    def finished(self) -> bool:
        """Whether every source of every graph has come to its end, and all that came of it is out."""
        return all(graph.done() for graph in self.graphs)

    def stop(self, timeout: float) -> None:
        """Drain every graph, at the same time, for at most `timeout` seconds; then give everything back."""
        until = monotonic() + timeout
        if self._replayer is not None:
            self._replayer.stop()
        with ThreadPoolExecutor(max_workers=max(1, len(self.graphs)), thread_name_prefix="stop") as pool:
            ended = list(pool.map(lambda graph: graph.stop(max(0.0, until - monotonic())), self.graphs))
        if self._replayer is not None:
            with suppress(sqlite3.Error, StartError):
                self._replayer.finish()
        if all(ended):
            self.surroundings.close()
