"""What must stay on disk for the versions that run, ran before or are tried, and what may go."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from flowrt.registry.budget import keep_within, make_room
from flowrt.registry.cache_folder import cache_folder
from flowrt.registry.store import Store
from flowrt.runtime.graph import RunningGraph
from flowrt.updates.deployment import deployment_of
from flowrt.updates.journal import Journal


class Housekeeping:
    """Of one state folder."""

    def __init__(self, store: Store, journal: Journal, disk: int, graphs: Callable[[], Sequence[RunningGraph]]) -> None:
        """`disk`: bytes that the store and compiled code may take. `graphs` gives those that run."""
        self.disk = disk
        self._store, self._journal, self._graphs = store, journal, graphs

    def tidy(self) -> None:
        """Let go of what nothing needs, and of what has not been used for longest where the disk budget asks for it."""
        needed = self.needed()
        self._store.tidy(needed)
        keep_within(self._store, needed, self.disk, cache_folder())

    def needed(self) -> set[str]:
        """Digests of what a running, proven, previous or tried version needs."""
        found = self._journal.digests()
        for graph in self._graphs():
            found |= deployment_of(graph.plan).digests
        return found

    def make_room(self, coming: set[str]) -> None:
        """For what has just come. Raises `Refused` where there is none."""
        make_room(self._store, self.needed(), coming, self.disk, cache_folder())
