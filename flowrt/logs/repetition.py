"""What repeats itself is written a few times and then counted."""

from __future__ import annotations

from collections.abc import Callable

from flowrt.events import (
    EndpointLost,
    EndpointRefused,
    Event,
    LimitReached,
    MessagesDropped,
    NodeFaulted,
    NodeRestarted,
    StoreFailed,
)
from flowrt.logs.sentences import Line
from flowrt.values import replace

ALIKE: dict[type[Event], tuple[str, ...]] = {
    NodeFaulted: ("graph", "node", "kind", "outcome"),
    NodeRestarted: ("graph", "node"),
    LimitReached: ("graph", "node", "bound"),
    MessagesDropped: ("where", "reason"),
    EndpointLost: ("endpoint",),
    EndpointRefused: ("endpoint", "reason"),
    StoreFailed: ("store",),
}
"""Events that may come in floods, and the fields in which two alike ones agree: fields a guest cannot vary."""

REPEATS = 5
"""Alike events written in a window, enough to see that their details differ."""
WINDOW_SECONDS = 30.0
"""A fault at every message then costs ten lines a minute."""


class Repetitions:
    """Decides which events are written. Not thread-safe."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._windows: dict[tuple[object, ...], _Window] = {}
        """In the order in which they opened."""

    def admit(self, event: Event, line: Line) -> list[Line]:
        """What is to be written now: the counts of windows that are over, and the line unless it is one too many."""
        due = self.due()
        names = ALIKE.get(type(event))
        if names is None:
            return [*due, line]
        key = (type(event), *(getattr(event, name) for name in names))
        window = self._windows.setdefault(key, _Window(self._clock(), line))
        window.seen += 1
        window.last = line
        return [*due, line] if window.seen <= REPEATS else due

    def due(self) -> list[Line]:
        """The counts of windows that are over."""
        oldest = self._clock() - WINDOW_SECONDS
        return self._close([key for key, window in self._windows.items() if window.opened <= oldest])

    def rest(self) -> list[Line]:
        """The counts of all windows."""
        return self._close(list(self._windows))

    def _close(self, keys: list[tuple[object, ...]]) -> list[Line]:
        windows = [self._windows.pop(key) for key in keys]
        return [replace(window.last, more=window.seen - REPEATS) for window in windows if window.seen > REPEATS]


class _Window:
    __slots__ = ("last", "opened", "seen")

    def __init__(self, opened: float, last: Line) -> None:
        self.opened = opened
        self.last = last
        self.seen = 0
