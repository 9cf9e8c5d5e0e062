"""What waits before a stage: batches, bounded in messages and in payload bytes.

Who fills a full inbox waits; that is back-pressure. Locks are taken once a batch, and nobody is woken who does not
wait.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic

from flowrt.endpoints.base import Stopped
from flowrt.message import Batch, join

PIECE = 512
"""Messages that are put at once. What one node makes of a few messages may be many thousands: taken by the hundred they
would be copied again for each hundred, and they would all be held at once."""


class Inbox:
    """Any number of threads put, one takes."""

    def __init__(self, messages_max: int, bytes_max: int, left: Callable[[], int] | None = None) -> None:
        """`left` says how many payload bytes may wait at present, where that depends on what the node holds."""
        self._messages_max = messages_max
        self._bytes_max = bytes_max
        self._left = left
        self._lock = threading.RLock()
        """May be taken again by who holds the inbox still: see `freeze`."""
        self._filled = threading.Condition(self._lock)
        self._emptied = threading.Condition(self._lock)
        self._batches: deque[tuple[Batch, int]] = deque()
        self._taker_waits = False
        self._putters_waiting = 0
        self._closed = False
        self._woken = False
        self.messages = 0
        """Messages waiting."""
        self.bytes = 0
        """Their payload bytes."""

    def size(self) -> int:
        """Payload bytes waiting."""
        return self.bytes

    def bound(self, messages_max: int, bytes_max: int, left: Callable[[], int] | None) -> None:
        """Other bounds from here on."""
        with self._lock:
            self._messages_max, self._bytes_max, self._left = messages_max, bytes_max, left
            self._emptied.notify_all()

    def wake(self) -> None:
        """Let who takes come back once, with nothing if nothing waits."""
        with self._lock:
            self._woken = True
            self._filled.notify_all()

    def put(self, batch: Batch) -> None:
        """Wait for room, then add, `PIECE` messages at a time. What is larger than the whole inbox is taken when the
        inbox is empty.

        Raises `Stopped` once the inbox is closed.
        """
        if len(batch) > PIECE:
            for start in range(0, len(batch), PIECE):
                self.put(batch.slice(start, start + PIECE))
            return
        size = batch.counted()
        with self._lock:
            while not self._closed and self.messages and not self._has_room(len(batch), size):
                self._putters_waiting += 1
                self._emptied.wait()
                self._putters_waiting -= 1
            if self._closed:
                raise Stopped
            self._add(batch, size)

    def offer(self, batch: Batch, *, drop_oldest: bool) -> list[Batch]:
        """Add without waiting; what was left out for want of room: what waits longest, or the new batch."""
        size = batch.counted()
        with self._lock:
            if self._closed:
                raise Stopped
            if not drop_oldest:
                if self.messages and not self._has_room(len(batch), size):
                    return [batch]
                self._add(batch, size)
                return []
            dropped = []
            while self.messages and not self._has_room(len(batch), size):
                oldest, oldest_size = self._batches.popleft()
                self._remove(len(oldest), oldest_size)
                dropped.append(oldest)
            self._add(batch, size)
            return dropped

    def take(self, messages_max: int, wait: float = 0.0) -> list[Batch] | None:
        """What waits, in order, at most `messages_max` messages; neighbours of one tracker as one batch.

        Waits for the first message as long as it takes, then up to `wait` seconds for more. None once the inbox is
        closed and empty; an empty list after `wake`.
        """
        with self._lock:
            while not self._batches:
                if self._woken:
                    self._woken = False
                    return []
                if self._closed:
                    return None
                self._wait_filled(None)
            if wait and not self._woken:
                until = monotonic() + wait
                while self.messages < messages_max and not self._closed and (left := until - monotonic()) > 0:
                    if self._woken:
                        break
                    self._wait_filled(left)
            self._woken = False
            taken = self._remove_up_to(messages_max)
            if self._putters_waiting:
                self._emptied.notify_all()
        return joined(taken)

    def idle(self) -> bool:
        """Whether nothing waits, and who takes has come back for more."""
        with self._lock:
            return self._taker_waits and not self._batches

    def freeze(self) -> bool:
        """Whether nothing waits, and who takes has come back for more. Then nobody else puts or takes before the
        caller's `thaw`: the taker's thread stands still without having to be told."""
        self._lock.acquire()
        if self._taker_waits and not self._batches and not self._woken:
            return True
        self._lock.release()
        return False

    def thaw(self) -> None:
        """After `freeze`, on the same thread."""
        self._lock.release()

    def close(self) -> None:
        """Take nothing more; what waits can still be taken."""
        with self._lock:
            self._closed = True
            self._filled.notify_all()
            self._emptied.notify_all()

    def clear(self) -> int:
        """Forget what waits; how many messages that were. For a stop that ran out of time: they stay unsettled."""
        with self._lock:
            count = self.messages
            self._batches.clear()
            self.messages = self.bytes = 0
            return count

    def _has_room(self, messages: int, size: int) -> bool:
        if self.messages + messages > self._messages_max or self.bytes + size > self._bytes_max:
            return False
        return self._left is None or self.bytes + size <= self._left()

    def _add(self, batch: Batch, size: int) -> None:
        self._batches.append((batch, size))
        if size < batch.largest:
            batch.largest = size
        self.messages += len(batch)
        self.bytes += size
        if self._taker_waits:
            self._filled.notify()

    def _remove(self, messages: int, size: int) -> None:
        self.messages -= messages
        self.bytes -= size

    def _wait_filled(self, timeout: float | None) -> None:
        self._taker_waits = True
        self._filled.wait(timeout)
        self._taker_waits = False

    def _remove_up_to(self, messages_max: int) -> list[Batch]:
        taken: list[Batch] = []
        room = messages_max
        while self._batches and room:
            batch, size = self._batches.popleft()
            if len(batch) > room:
                rest = batch.slice(room, len(batch))
                rest_size = sum(map(len, rest.payloads))
                self._batches.appendleft((rest, rest_size))
                batch, size = batch.slice(0, room), size - rest_size
            self._remove(len(batch), size)
            room -= len(batch)
            taken.append(batch)
        return taken


def joined(batches: list[Batch]) -> list[Batch]:
    """Neighbours that share a tracker become one batch."""
    if len(batches) == 1:
        return batches
    runs: list[list[Batch]] = []
    for batch in batches:
        if runs and runs[-1][0].tracker is batch.tracker:
            runs[-1].append(batch)
        else:
            runs.append([batch])
    return [join(run) for run in runs]
