"""A graph that does not come up while others do: they run, and it is tried again, now and then."""

from __future__ import annotations

from time import monotonic

from flowrt.graph.plan import Plan
from flowrt.quota.backoff import Backoff
from flowrt.runtime.view import GraphView

FIRST_SECONDS, LONGEST_SECONDS = 30.0, 600.0
"""Between tries: what mends itself is back within minutes, and what does not costs next to nothing."""


class Missing:
    """One graph, and when it is tried again."""

    def __init__(self, plan: Plan, reason: str) -> None:
        self.plan = plan
        self.reason = reason
        self._backoff = Backoff(FIRST_SECONDS, LONGEST_SECONDS, free=0, calm=2 * LONGEST_SECONDS)
        self._due = 0.0
        self.failures = 0
        self.pause = 0.0
        """Seconds until then, when it failed last."""
        self.failed(reason)

    def failed(self, reason: str) -> None:
        """It has not come up."""
        now = monotonic()
        self.failures += 1
        self.reason, self.pause = reason, self._backoff.next(now)
        self._due = now + self.pause

    def due(self) -> bool:
        return monotonic() >= self._due

    def view(self) -> GraphView:
        """What there is to see of it: that it is not ready."""
        return GraphView(self.plan.name, self.plan.version, lambda: False, tuple, [], [], failed_starts=self.failures)
