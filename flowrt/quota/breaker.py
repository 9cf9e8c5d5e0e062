"""Switches a node off that fails again and again. Pure: the clock is passed in."""

from __future__ import annotations

from collections import deque

NODE_FAULTS = frozenset(
    {"abi", "crash", "deadline", "disabled", "fuel", "inference", "init", "internal", "memory", "outputs", "trap"}
)
"""Kinds of faults that are the node's own: it trapped or broke a bound. The others are the message's."""


class Breaker:
    """Opens after `faults` faults within `within` seconds, for `pause` seconds."""

    __slots__ = ("_pause", "_times", "_until", "_within")

    def __init__(self, faults: int, within: float, pause: float) -> None:
        self._within = within
        self._pause = pause
        self._times: deque[float] = deque(maxlen=faults)
        self._until = float("-inf")

    def fault(self, now: float) -> bool:
        """The node failed at `now`; whether that switches it off."""
        self._times.append(now)
        if len(self._times) < (self._times.maxlen or 0) or now - self._times[0] > self._within:
            return False
        self._times.clear()
        self._until = now + self._pause
        return True

    def off(self, now: float) -> bool:
        """Whether the node is switched off at `now`."""
        return now < self._until
