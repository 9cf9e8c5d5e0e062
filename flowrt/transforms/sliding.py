"""Sliding windows: at every multiple of `every`, the figures of the last `length`. Time is handed in, in seconds."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from flowrt.message import Head
from flowrt.transforms.columns import Columns
from flowrt.transforms.enrichment import Enrichment, Lookup
from flowrt.transforms.figures import Closed, Figure, document
from flowrt.transforms.inputs import Row, document_of
from flowrt.transforms.rules import AccumulateRule, WindowSliding


class SlidingTransform:
    """See `WindowTransform`. A message is in every window that ends within `length` after it."""

    def __init__(self, rules: Sequence[AccumulateRule], sliding: WindowSliding, lookup: Lookup) -> None:
        self._figures = [Figure(rule) for rule in rules]
        self._length = round(sliding.length * 1000)
        self._every = round(sliding.every * 1000)
        """Milliseconds, as all times in here: sums of fractions of a second would drift apart."""
        self._enrichment = Enrichment((), lookup)
        self._kept: deque[tuple[int, list[list[Any]]]] = deque()
        """Times and each figure's values of the messages that a window may still need."""
        self._due: int | None = None

    @property
    def due(self) -> float | None:
        """When the next window ends, in seconds; None while no message is held."""
        return None if self._due is None else self._due / 1000

    def take(self, payload: bytes, head: Head, now: float) -> list[Closed]:
        found = document_of(payload)
        row = Row(found, head, self._enrichment.of(found))
        time = round(now * 1000)
        self._kept.append((time, [figure.read(row) for figure in self._figures]))
        if self._due is None:
            self._due = (time // self._every + 1) * self._every
        return []

    def close_due(self, now: float) -> list[Closed]:
        """The next window, if time has ended it."""
        if self._due is None or round(now * 1000) < self._due:
            return []
        end = self._due
        columns = [Columns(figure.inputs) for figure in self._figures]
        for time, values in self._kept:
            if time < end:
                for column, found in zip(columns, values, strict=True):
                    column.add(found)
        following = end + self._every
        while self._kept and self._kept[0][0] < following - self._length:
            self._kept.popleft()
        self._due = following if self._kept else None
        return [document(self._figures, columns)]

    @property
    def held(self) -> int:
        """How many of the last messages a window may still need."""
        return len(self._kept)
