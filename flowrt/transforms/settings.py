"""What one transform was told, in one form, however it was written."""

from __future__ import annotations

from flowrt.transforms.rules import (
    Rules,
    Throttle,
    WindowCount,
    WindowDelay,
    WindowMemory,
    WindowSession,
    WindowSliding,
    WindowTriggers,
)
from flowrt.values import Struct


class Settings(Struct, frozen=True):
    """AIO's configurations of one transform, read."""

    rules: Rules
    throttle: Throttle | None = None
    delay: WindowDelay | None = None
    count: WindowCount | None = None
    memory: WindowMemory | None = None
    triggers: WindowTriggers | None = None
    sliding: WindowSliding | None = None
    session: WindowSession | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """`map`, `filter`, `branch`, `throttle`, `window`: one, in a sound file."""
        rules, bounds = self.rules, (self.delay, self.count, self.memory, self.triggers, self.sliding, self.session)
        given = {
            "map": rules.map,
            "filter": rules.filter,
            "branch": rules.branch,
            "throttle": self.throttle,
            "window": next((bound for bound in (rules.accumulate, *bounds) if bound is not None), None),
        }
        return tuple(kind for kind, value in given.items() if value is not None)
