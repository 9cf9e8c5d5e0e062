"""An inbox that also carries marks, in their place between the batches, and whose taker can be woken."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

from flowrt.endpoints.base import Stopped
from flowrt.message import Batch
from flowrt.runtime.inbox import Inbox, joined

Take = Callable[[int], None]
"""Takes a mark: a node's input."""


class Mark:
    """Nothing before `time` will come any more from where `take` belongs. It holds no messages."""

    __slots__ = ("largest", "take", "time")

    def __init__(self, take: Take, time: int) -> None:
        self.largest = 0
        """As a batch's."""
        self.take = take
        self.time = time

    def __len__(self) -> int:
        return 0

    def deliver(self) -> None:
        self.take(self.time)


class TimedInbox(Inbox):
    """See `Inbox`. A mark takes no room, and replaces one of the same input that still waits right before it."""

    def mark(self, take: Take, time: int) -> None:
        """Put a mark behind all that was put before. Raises `Stopped` once the inbox is closed."""
        with self._lock:
            if self._closed:
                raise Stopped
            last = self._batches[-1][0] if self._batches else None
            if isinstance(last, Mark) and last.take is take:
                last.time = time
                return
            self._add(Mark(take, time), 0)  # type: ignore[arg-type] # a batch of nothing

    def offer(self, batch: Batch, *, drop_oldest: bool) -> list[Batch]:
        """As `Inbox.offer`; marks are never dropped."""
        dropped = super().offer(batch, drop_oldest=drop_oldest)
        marks = [part for part in dropped if isinstance(part, Mark)]
        if marks:
            with self._lock:
                self._batches.extendleft((mark, 0) for mark in reversed(marks))
        return [part for part in dropped if not isinstance(part, Mark)]

    def take_until(self, messages_max: int, wait: float, until: float | None) -> list[Batch | Mark] | None:
        """As `take`, but with nothing once the monotonic clock is at `until`."""
        with self._lock:
            while not self._batches and not self._woken:
                if self._closed:
                    return None
                left = None if until is None else until - monotonic()
                if left is not None and left <= 0:
                    return []
                self._wait_filled(left)
            if wait and self._batches:
                filled = monotonic() + wait
                while not self._woken and not self._closed and self.messages < messages_max:
                    left = filled - monotonic()
                    if left <= 0:
                        break
                    self._wait_filled(left)
            self._woken = False
            taken = self._remove_up_to(messages_max)
            if self._putters_waiting:
                self._emptied.notify_all()
        return _with_marks(taken)


def _with_marks(taken: list[Batch]) -> list[Batch | Mark]:
    """Neighbours of one tracker as one batch, but none across a mark."""
    parts: list[Batch | Mark] = []
    run: list[Batch] = []
    for part in taken:
        if isinstance(part, Mark):
            parts += joined(run) if run else ()
            parts.append(part)
            run = []
        else:
            run.append(part)
    return [*parts, *(joined(run) if run else ())]
