"""The throttle transform: at most so many messages a second, by topic. Time is handed in."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, inf, isfinite

from flowrt.message import Head
from flowrt.transforms.heads import HEADS_MAX
from flowrt.transforms.rules import Throttle

Matches = Callable[[str, str], bool]
"""Whether a topic filter, the first argument, selects a topic."""


class ThrottleTransform:
    """Lets the first message of an interval pass and drops those after it. All topics of a rule share its interval."""

    def __init__(self, throttle: Throttle, matches: Matches) -> None:
        self._filters = [rule.topic for rule in throttle.per_topic_throttles]
        self._intervals = [interval_ms(rule.max_messages_per_second) for rule in throttle.per_topic_throttles]
        self._next = [-inf] * len(self._filters)
        """When the next message may pass, for each rule, in milliseconds."""
        self._matches = matches
        self._rules: dict[Head, int | None] = {}

    def passes(self, head: Head, now_ms: float) -> bool:
        """Whether a message that is handled now passes. `now_ms` never goes back."""
        try:
            rule = self._rules[head]
        except KeyError:
            rule = self._remember(head)
        if rule is None:
            return True
        if now_ms < self._next[rule]:
            return False
        self._next[rule] = now_ms + self._intervals[rule]
        return self._intervals[rule] != inf

    def _remember(self, head: Head) -> int | None:
        if len(self._rules) >= HEADS_MAX:
            self._rules.clear()
        found = (index for index, pattern in enumerate(self._filters) if self._matches(pattern, head.topic))
        rule = self._rules[head] = next(found, None)
        return rule


def interval_ms(per_second: float) -> float:
    """Whole milliseconds between two messages; infinity for none at all."""
    interval = 1000 / per_second if per_second else inf
    return float(ceil(interval)) if isfinite(interval) else inf
