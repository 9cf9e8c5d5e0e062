"""What came from afar, tried in the graph that runs: the one way from commands and followed tags to `Manager.apply`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowrt.errors import FlowrtError
from flowrt.graph.resolve import Stored
from flowrt.problem import has_errors
from flowrt.registry.artifact import Entry
from flowrt.registry.blobs import Refused
from flowrt.registry.orders import Order
from flowrt.updates.fetching import Fetcher, Progress, host_of
from flowrt.updates.manager import Manager
from flowrt.updates.requests import follow
from flowrt.updates.running import Declined, Running
from flowrt.updates.starting import Load
from flowrt.updates.turns import SHORT_TURNS

PROBLEMS_SHOWN = 3


class Arrivals:
    """Of one runtime. Any thread may use it."""

    def __init__(self, manager: Manager, load: Load, state: Path) -> None:
        self.manager = manager
        self.fetcher = Fetcher(manager.store, state, manager.house.disk)
        self._load = load

    def try_it(
        self, name: str, graph: tuple[Entry, str] | None, others: Sequence[Entry] = (), *, again: bool = False
    ) -> Running | None:
        """Begin to change a graph into what came: another text, other modules and models. They go by their names once
        that has proven itself; None when it runs already. Raises `Declined`, and OSError."""
        runs = self.manager.graph(name).plan
        text = graph[1] if graph is not None else runs.text
        entries = [*others, *([graph[0]] if graph is not None else [])]
        for entry in entries:
            self.manager.store.note(entry)
        try:
            self.manager.house.make_room({digest for entry in entries for digest in entry.digests})
        except Refused as refused:
            raise Declined(str(refused)) from refused
        with SHORT_TURNS:
            plan, problems = self._load(Path(runs.path), text.encode(), Stored(find=self._finding(others)))
        if plan is None or has_errors(problems):
            shown = "; ".join(map(str, problems[:PROBLEMS_SHOWN]))
            raise Declined(f"the graph has problems, {len(problems)} in all: {shown}")
        if plan.name != name:
            raise Declined(f"it is a version of graph '{plan.name}', not of '{name}'")

        def named() -> None:
            for entry in entries:
                self.manager.store.name(entry)

        running = self.manager.apply(plan, again=again, proven=named)
        if running is None:
            named()
        return running

    def carry_out(
        self, order: Order, graph: str, progress: Callable[[str], Progress], *, anywhere: bool = False
    ) -> Iterator[Mapping[str, Any]]:
        """What a command says; answers as they come, the last with `done`. `anywhere`: it may bring something from
        registries that the graph does not name."""
        try:
            if order.do == "status":
                yield {"graphs": [one for one in self.manager.status() if one["graph"] == graph], "done": True}
            elif order.do == "rollback":
                yield from follow(self.manager.rollback(graph))
            else:
                yield from self._apply(order, graph, progress, anywhere=anywhere)
        except (Declined, FlowrtError, OSError) as error:
            yield {"error": str(error), "done": True}

    def _apply(
        self, order: Order, graph: str, progress: Callable[[str], Progress], *, anywhere: bool
    ) -> Iterator[Mapping[str, Any]]:
        others = [self._brought(source, graph, progress, anywhere=anywhere) for source in order.bring]
        if "://" in order.artifact:
            entry = self._brought(order.artifact, graph, progress, anywhere=anywhere)
            found = entry, self.fetcher.text(entry)
        else:
            found = self.fetcher.graph(order.artifact)
        running = self.try_it(graph, found, others, again=order.again)
        if running is None:
            yield {"graph": graph, "outcome": "proven", "reason": "it runs already", "done": True}
            return
        yield from follow(running)

    def _brought(self, source: str, graph: str, progress: Callable[[str], Progress], *, anywhere: bool) -> Entry:
        access = self.manager.graph(graph).plan.updates.access(host_of(source))
        if access is None and not anywhere:
            raise Declined(f"nothing is brought from {host_of(source)!r}: it is not among updates.registries")
        return self.fetcher.bring(source, access, progress=progress(source))

    def _finding(self, entries: Sequence[Entry]) -> Callable[[str, str | None], Path | None]:
        """What came stands for its name, which still leads to what ran before."""
        store = self.manager.store
        came = {entry.reference: entry for entry in entries}

        def find(name: str, sha256: str | None) -> Path | None:
            entry = came.get(name) if sha256 is None else None
            if entry is None:
                return store.find(name, sha256)
            try:
                store.blobs.check(entry.content)
            except Refused:
                return None
            return store.blobs.path(entry.content)

        return find
