"""What a runtime listens to and looks after from afar, as its graphs say: command topics and followed tags."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from flowrt.counters import UpdateCounters
from flowrt.runtime.surroundings import Surroundings
from flowrt.updates.arrivals import Arrivals
from flowrt.updates.commands import CommandTopic, connected
from flowrt.updates.following import Following
from flowrt.updates.manager import Manager


class _Part(Protocol):
    def start(self) -> None: ...

    def close(self) -> None: ...


class Remote:
    """Follows the graphs: `refresh` whenever they may have changed."""

    def __init__(self, arrivals: Arrivals, around: Surroundings, state: Path) -> None:
        self._arrivals = arrivals
        self._manager: Manager = arrivals.manager
        self._around = around
        self._state = state
        self._lock = threading.Lock()
        self._parts: dict[tuple[str, str], tuple[object, _Part]] = {}
        """By graph and kind: what it was made from, and itself."""
        self._leaving: list[threading.Thread] = []
        self._closed = False

    def refresh(self) -> None:
        """Begin what graphs want now, end what they want no more. Safe from any thread."""
        with self._lock:
            if self._closed:
                return
            wanted = {} if self._manager.runtime is None else _wanted(self._manager.runtime.graphs)
            for key, (made_of, part) in list(self._parts.items()):
                if wanted.get(key) != made_of:
                    del self._parts[key]
                    self._leave(part)
            for key, made_of in wanted.items():
                if key not in self._parts:
                    part = self._made(key, made_of)
                    self._parts[key] = made_of, part
                    part.start()

    def close(self) -> None:
        with self._lock:
            self._closed = True
            for _, part in self._parts.values():
                self._leave(part)
            self._parts = {}
        for thread in self._leaving:
            thread.join(15.0)

    def _leave(self, part: _Part) -> None:
        """On a thread of its own: it may be the part's own command that brings this about."""
        thread = threading.Thread(target=part.close, name="flowrt/leave", daemon=True)
        self._leaving = [*(one for one in self._leaving if one.is_alive()), thread]
        thread.start()

    def _made(self, key: tuple[str, str], made_of: Any) -> _Part:
        name, kind = key
        around = self._around

        def counters() -> UpdateCounters:
            return self._manager.graph(name).updates

        if kind == "follow":
            sources, accesses = made_of
            by_host = {access.host: access for access in accesses}
            return Following(name, sources, by_host.get, self._arrivals, self._state, around.emit, counters)
        commands, options = made_of
        ends = around.open_endpoints(
            f"{name}-commands", {commands.endpoint: connected(options)}, emit=around.emit, broker=around.broker
        )
        return CommandTopic(name, commands, ends, self._arrivals, self._state, around.emit, counters)


def _wanted(graphs: Sequence[Any]) -> dict[tuple[str, str], Any]:
    found: dict[tuple[str, str], Any] = {}
    for graph in graphs:
        updates = graph.plan.updates
        if updates.commands is not None and updates.commands.endpoint in graph.plan.endpoints:
            found[graph.name, "commands"] = updates.commands, graph.plan.endpoints[updates.commands.endpoint]
        if updates.follow:
            found[graph.name, "follow"] = updates.follow, updates.registries
    return found
