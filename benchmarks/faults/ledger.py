"""Who sent what and what came of it: the counts that every row of the fault bench asserts."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic

Key = tuple[int, int]
"""A message: number of its topic, place within it."""


class Ledger:
    """Filled by the threads of the publisher, the source's link and the collector, read by the row."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sent: set[Key] = set()
        self._seen: set[Key] = set()
        self._delivered: dict[int, list[int]] = {}
        """By topic, what the broker gave to the system under test, repetitions too."""
        self._out: dict[int, list[int]] = {}
        """By topic, what came out, the first copy of each."""
        self._moments: list[float] = []
        self.duplicated = 0
        self.foreign = 0
        """Messages that nobody sent: a fault of the bench or of the system."""

    def sent(self, key: Key) -> None:
        with self._lock:
            self._sent.add(key)

    def delivered(self, key: Key) -> None:
        with self._lock:
            self._delivered.setdefault(key[0], []).append(key[1])

    def came(self, key: Key) -> None:
        """A message came out."""
        with self._lock:
            if key in self._seen:
                self.duplicated += 1
                return
            if key not in self._sent:
                self.foreign += 1
            self._seen.add(key)
            self._moments.append(monotonic())
            self._out.setdefault(key[0], []).append(key[1])

    @property
    def reordered(self) -> int:
        """How many came out in an order in which the broker never delivered them: within a topic, the first copies
        have to be found one behind the other among the deliveries. (Mosquitto itself changes the order when it is
        killed and comes back.)"""
        with self._lock:
            return sum(_strays(out, self._delivered.get(topic, [])) for topic, out in self._out.items())

    @property
    def redelivered(self) -> int:
        """How many times the broker gave the system a message that it had given it before."""
        with self._lock:
            return sum(len(places) - len(set(places)) for places in self._delivered.values())

    def excuse(self, keys: set[Key]) -> None:
        """These had come to their end, and what kept them is destroyed on purpose."""
        with self._lock:
            self._seen |= keys

    @property
    def sent_count(self) -> int:
        with self._lock:
            return len(self._sent)

    @property
    def seen_count(self) -> int:
        with self._lock:
            return len(self._seen)

    def missing(self, kept: set[Key] = frozenset()) -> set[Key]:  # type: ignore[assignment]
        """Sent, not out, and not among what is kept elsewhere."""
        with self._lock:
            return self._sent - self._seen - kept

    def first_after(self, moment: float) -> float | None:
        """Seconds from a moment to the first new message behind it."""
        with self._lock:
            return next((at - moment for at in self._moments if at > moment), None)


def _strays(out: Sequence[int], delivered: Sequence[int]) -> int:
    places: dict[int, list[int]] = {}
    for at, number in enumerate(delivered):
        places.setdefault(number, []).append(at)
    strays = at = 0
    for number in out:
        found = next((place for place in places.get(number, ()) if place >= at), None)
        if found is None:
            strays += 1
        else:
            at = found
    return strays


@dataclass(frozen=True, slots=True)
class Result:
    """One row for one system: what docs/reliability.md shows."""

    fault: str
    title: str
    system: str
    seed: int
    sent: int
    received: int
    """Different messages that came out."""
    dead: int
    """Kept as dead letters, with the reason."""
    lost: int
    duplicated: int
    reordered: int
    bound: int
    """How many duplicates the messages in flight allow."""
    recovered: float | None
    """Seconds from the end of the fault to the first new message out."""
    notes: tuple[str, ...] = field(default=())
    """What else the row asserts and found wrong."""

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        return not self.lost and not self.reordered and self.duplicated <= self.bound and not self.notes
