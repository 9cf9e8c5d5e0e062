"""A new version of a node that keeps something: no old one can stand in for it, so what its node counts is judged."""

from __future__ import annotations

from flowrt.counters import NodeCounters
from flowrt.graph.updates import Bounds
from flowrt.updates.verdict import Tally, judge

TRAPS = frozenset(("trap", "deadline", "fuel", "abi"))
"""Kinds of faults after which an instance is never called again."""
KNOWN_ROWS = 20
"""Messages after which the time that a message took is known."""


class Counted:
    """From its making on. Messages that it fails on go where `onError` says."""

    def __init__(self, counters: NodeCounters, bounds: Bounds, *, known: bool) -> None:
        """`known`: they go on counting where an old version was, whose time a message is a measure then."""
        self._counters, self._bounds = counters, bounds
        self._received, self._faults = counters.received, dict(counters.faults)
        self._seconds = counters.processing.sum
        enough = known and counters.received >= KNOWN_ROWS
        self._old_seconds = self._seconds / counters.received if enough else None

    @property
    def seen(self) -> int:
        """Messages it was given."""
        return self._counters.received - self._received

    @property
    def verdict(self) -> str | None:
        """Why it must go."""
        more = {kind: count - self._faults.get(kind, 0) for kind, count in dict(self._counters.faults).items()}
        traps = sum(count for kind, count in more.items() if kind in TRAPS)
        return judge(
            Tally(
                rows=self.seen, traps=traps, failed=sum(more.values()) - traps, old_seconds=self._old_seconds,
                seconds=self._counters.processing.sum - self._seconds,
            ),
            self._bounds,
        )  # fmt: skip
