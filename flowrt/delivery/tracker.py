"""Which messages of a source are still under way.

A source numbers its messages as it reads them (`open`). Every row of a batch carries the number of the message it
derives from. A number is settled when all that derives from it is out, spooled, dead-lettered, filtered or counted as
dropped; `fork` says that one more row now derives from it. Numbers are released to the source in order, by a low-water
mark, because MQTT's acknowledgements must leave in the order of arrival (MQTT 5, 4.6).

Cost: a batch that passes one for one keeps its numbers as a `range`, and opening, settling and releasing it are slice
operations; only branches and filters pay by the message.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import NamedTuple


class Note(NamedTuple):
    """By what a message that comes again can be told, for who asks for it."""

    origin: str
    """The connection's name."""
    packet_id: bytes
    """Two bytes."""
    again: bool
    """The sender says that it has sent it before."""
    topic: str
    payload: bytes


class Tracker:
    """Counts what is open, from any thread. `release(n)`: the oldest n unreleased messages may be acknowledged.

    `release` is called outside the tracker's lock but one call at a time, in order, from the settling thread; it must
    not block for long.
    """

    def __init__(self, release: Callable[[int], None], first: int = 0, letter: int = 0) -> None:
        """`first` is the number of the first message; `letter` that of a dead letter that is sent again."""
        self.letter = letter
        self._release = release
        self._lock = threading.Lock()
        self._releasing = threading.Lock()
        self._base = first
        self._done = bytearray()
        self._extra: dict[int, int] = {}
        self._owed = 0
        self._notes: dict[int, Note] = {}
        self.surplus = 0
        """Rows settled again after their release: a fault of ours, without harm to others."""

    def release_to(self, release: Callable[[int], None]) -> None:
        """Another is told of releases from here on. One that is under way may still go to who was told before."""
        self._release = release

    def open(self, count: int) -> range:
        """Numbers for `count` new messages."""
        with self._lock:
            start = self._base + len(self._done)
            self._done.extend(bytes(count))
            return range(start, start + count)

    def note(self, seqs: range, notes: Iterable[Note]) -> None:
        """Keep notes of messages until they are released."""
        with self._lock:
            self._notes.update(zip(seqs, notes, strict=True))

    def noted(self, seqs: Sequence[int]) -> list[Note] | None:
        """The notes of messages that are open; None where some have none."""
        if not self._notes:
            return None
        with self._lock:
            notes = [self._notes.get(seq) for seq in seqs]
        return None if None in notes else notes  # type: ignore[return-value]

    def fork(self, seqs: Sequence[int]) -> None:
        """One more row derives from each of these; a number may occur more than once."""
        counted = _counted(seqs)
        with self._lock:
            for seq, count in counted:
                self._extra[seq] = self._extra.get(seq, 0) + count

    def settle(self, seqs: Sequence[int]) -> None:
        """One row of each of these has come to its end."""
        if not seqs:
            return
        with self._lock:
            self._mark(seqs)
            done = self._done
            if done[:1] != b"\x01":
                return
            advanced = len(done) - len(done.lstrip(b"\x01"))
            del done[:advanced]
            if self._notes:
                for seq in range(self._base, self._base + advanced):
                    self._notes.pop(seq, None)
            self._base += advanced
            self._owed += advanced
        self._pay()

    @property
    def base(self) -> int:
        """The number of the oldest message that is not released."""
        return self._base

    @property
    def open_count(self) -> int:
        """Messages read and not yet released."""
        with self._lock:
            return len(self._done)

    def _mark(self, seqs: Sequence[int]) -> None:
        base, done, extra = self._base, self._done, self._extra
        if isinstance(seqs, range) and seqs.step == 1 and not extra and seqs.start >= base:
            done[seqs.start - base : seqs.stop - base] = b"\x01" * len(seqs)
            return
        for seq, count in _counted(seqs):
            left = extra.get(seq, 0) - count
            if seq < base:
                self.surplus += count
            elif left > 0:
                extra[seq] = left
            else:
                extra.pop(seq, None)
                if left < 0:
                    done[seq - base] = 1

    def _pay(self) -> None:
        # Two settling threads may both have moved the mark; the releases must still leave one after the other.
        with self._releasing:
            with self._lock:
                owed, self._owed = self._owed, 0
            if owed:
                self._release(owed)


def _counted(seqs: Sequence[int]) -> Iterable[tuple[int, int]]:
    """How often each stands there. One message's rows come together, and mostly there is one of each, or one at all."""
    if len(seqs) > 1 and (first := seqs[0]) == seqs[1]:
        count = seqs.count(first)
        return ((first, count),) if count == len(seqs) else Counter(seqs).items()
    return zip(seqs, repeat(1), strict=False)
