"""A spool on disk: messages appended durably, taken in order, given up when they are out or too many.

Safe from any thread. One lock for all but the durable write itself, so that what appends (one thread) does not hold up
what takes and what releases. Numbers of messages rise by one for ever; the tracker of a log counts in them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from flowrt.delivery.spool.frames import Damaged, Encoder, Header, read_body
from flowrt.delivery.spool.position import Position
from flowrt.delivery.spool.segment import START_BYTES, Segment, create, open_existing, segment_paths
from flowrt.delivery.tracker import Tracker
from flowrt.message import Head, SharedHeads
from flowrt.values import Struct

SEGMENT_BYTES = 4 * 2**20
"""A file is deleted when all in it is out: a sixty-fourth of the default bound."""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Clock(Struct, frozen=True):
    """Milliseconds since the epoch, and since the machine's start. Passed in, so that a test decides the time."""

    wall: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    uptime: Callable[[], int] = lambda: time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
    boot: Callable[[], bytes] = lambda: bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))


class Frame(Struct, frozen=True):
    """Messages that were taken from a spool together."""

    seqs: range
    heads: Sequence[Head]
    payloads: Sequence[bytes]
    at: int
    """When they were spooled, milliseconds since the epoch."""


class SpoolLog:
    """The spool of one sink, in a folder of its own."""

    def __init__(self, folder: Path, *, segment_bytes: int = SEGMENT_BYTES, clock: Clock | None = None) -> None:
        """Opens what is there, and cuts what a power cut left half written. Raises OSError."""
        self.damaged = 0
        """Messages that could not be read back, as far as their numbers tell."""
        self.cut_bytes = 0
        """Bytes of unfinished writes found at the end of files; what was in them had not been acknowledged."""
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._clock = clock or Clock()
        self._boot = self._clock.boot()
        self._encoder = Encoder()
        self._heads = SharedHeads()
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._owner = _own(folder)
        self._position = Position(folder)
        self._segments: deque[Segment] = deque()
        self._active: Segment | None = None
        self._busy: Segment | None = None
        """What is being appended to."""
        self._reading: Segment | None = None
        """The cursor's; what is before the cursor was handed out or given up."""
        self._at = START_BYTES
        self._peeked: Header | None = None
        self._waiting = self._waiting_bytes = 0
        self._taken: deque[tuple[Header, bytes]] = deque()
        """Each frame that was handed out and is not out, and the boot in which it was written."""
        self._taken_bytes = 0
        self._open()
        position = self._position.value
        self._next = max([position, *(segment.end for segment in self._segments)])
        first = max(position, self._segments[0].first) if self._segments else self._next
        self.tracker = Tracker(self._released, first)
        """Who sends what was taken settles it here."""
        self.tracker.open(self._next - first)
        self._expected = first
        """The number that the next frame at the cursor should begin with."""

    # What there is.

    @property
    def messages(self) -> int:
        """Messages that are not out."""
        with self._lock:
            position = self._position.value
            return self._waiting + sum(header.end - max(header.first, position) for header, _ in self._taken)

    @property
    def disk_bytes(self) -> int:
        """What their frames take."""
        return self._waiting_bytes + self._taken_bytes

    @property
    def waiting(self) -> int:
        """Messages that were not taken yet."""
        return self._waiting

    def oldest_seconds(self) -> float:
        """The age of the oldest message that is not out; 0 when there is none. Raises OSError."""
        with self._lock:
            if self._taken:
                return self._age(*self._taken[0])
            return self._age_at_cursor()

    def waiting_seconds(self) -> float:
        """The age of the oldest message that was not taken. Raises OSError."""
        with self._lock:
            return self._age_at_cursor()

    # In.

    def append(self, heads: Sequence[Head], payloads: Sequence[bytes], *, taken: bool = False) -> range:
        """Keep messages; they are on disk when this returns their numbers. `taken`: they are under way already, and
        nothing else waits. Called by one thread. Raises OSError, and keeps none then."""
        at, uptime = self._clock.wall(), self._clock.uptime()
        segment = self._segment_to_append()
        frame = self._encoder.frame(self._next, heads, payloads, at=at, uptime=uptime)
        try:
            segment.write(frame)
        except OSError:
            with self._lock:
                self._active = self._busy = None  # nobody knows what the file holds now: go on in another
            raise
        with self._lock:
            start = segment.size
            segment.size += len(frame)
            header = segment.header(start)
            segment.end = self._next = header.end
            self.tracker.open(header.count)
            self._busy = None
            self._waiting += header.count
            self._waiting_bytes += header.bytes
            if self._reading is None:
                self._reading, self._at = segment, start
            if taken:
                self._peek()
                self._hand_out(header)
        return range(header.first, header.end)

    # Out.

    def take(self) -> Frame | None:
        """The next messages in order, or None when there are none. Raises OSError."""
        lost: list[range] = []
        frame = None
        with self._lock:
            while frame is None and (header := self._peek()) is not None and self._reading is not None:
                lost.append(self._gap(header))
                body = self._reading.body(self._at, header)
                self._hand_out(header)
                try:
                    heads, payloads = read_body(header, body)
                except Damaged:
                    self.damaged += header.count
                    lost.append(range(header.first, header.end))
                    continue
                frame = self._frame(header, heads, payloads)
        for seqs in lost:
            self.tracker.settle(seqs)
        return frame

    def drop_oldest(self) -> int:
        """Give up the oldest messages that were not taken, a frame of them; how many. Raises OSError."""
        with self._lock:
            header = self._peek()
            if header is None or self._reading is None:
                return 0
            gap, segment = self._gap(header), self._reading
            self._pass(header)
            if segment not in (self._reading, self._active) and not segment.sent:
                self._delete(segment)  # at once, although older messages may still be under way
        self.tracker.settle(gap)
        self.tracker.settle(range(header.first, header.end))
        return header.count

    def tidy(self) -> None:
        """Make the position durable, and delete files of which all is out. Raises OSError."""
        self._position.sync()
        with self._lock:
            self._peek()
            for segment in [one for one in self._segments if one.end <= self._position.value]:
                if segment is self._busy or (segment is self._active and segment.size == START_BYTES):
                    continue
                if segment is self._active:
                    self._active = None
                if segment is self._reading:
                    self._reading = None
                self._delete(segment)

    def close(self) -> None:
        """Safe to call twice."""
        with self._lock:
            if self._next < 0:
                return
            self._next = -1
            with contextlib.suppress(OSError):
                self._position.sync()
            while self._segments:
                self._segments.popleft().close()
            self._active = self._reading = self._peeked = None
            self._position.close()
            os.close(self._owner)

    # Called with the lock held.

    def _open(self) -> None:
        for path in segment_paths(self._folder):
            try:
                segment = open_existing(path)
            except Damaged:
                self.cut_bytes += path.stat().st_size
                path.unlink()
                continue
            self._count(segment)
            self._segments.append(segment)
        for segment in [one for one in self._segments if one.end <= self._position.value]:
            self._delete(segment)
        if self._segments:
            self._reading = self._segments[0]

    def _count(self, segment: Segment) -> None:
        end = START_BYTES
        for at, header in segment.frames():
            if at + header.bytes == segment.size and not segment.readable(at, header):
                break  # an unfinished write: the header reached the disk, the body did not
            segment.end = header.end
            end = at + header.bytes
            if header.end > self._position.value:
                self._waiting += header.count
                self._waiting_bytes += header.bytes
        if end < segment.size:
            self.cut_bytes += segment.size - end
            segment.cut(end)

    def _segment_to_append(self) -> Segment:
        with self._lock:
            if self._active is not None and self._active.size < self._segment_bytes:
                self._busy = self._active
                return self._active
        with self._lock:
            self._forget_unwritten()
        segment = create(self._folder, self._next, self._boot)
        with self._lock:
            self._segments.append(segment)
            self._active = self._busy = segment
        return segment

    def _forget_unwritten(self) -> None:
        """A file without a message, after a failed or an unfinished write: its name is the next one's."""
        while self._segments and self._segments[-1].first == self._next:
            segment = self._segments.pop()
            if segment is self._reading:
                self._reading = None
            segment.close()

    def _peek(self) -> Header | None:
        """The header at the cursor, which moves over what is damaged and to the next file."""
        while self._peeked is None and self._reading is not None:
            segment = self._reading
            found = next(iter(segment.frames(self._at)), None)
            if found is not None:
                self._at, header = found
                if header.end > self._position.value:
                    self._peeked = header
                else:
                    self._at += header.bytes
                continue
            place = self._segments.index(segment) + 1
            if place == len(self._segments):
                self._reading = None
            else:
                self._reading, self._at = self._segments[place], START_BYTES
        return self._peeked

    def _gap(self, header: Header) -> range:
        """Numbers that no frame before this one has: of messages given up with their file, or damaged within it."""
        gap = range(self._expected, max(self._expected, header.first))
        if gap and self._at > START_BYTES:
            self.damaged += len(gap)
        return gap

    def _frame(self, header: Header, heads: Sequence[Head], payloads: Sequence[bytes]) -> Frame:
        """What of a frame is not out yet."""
        done = max(0, self._position.value - header.first)
        same = {head: self._heads.same(head) for head in set(heads)}
        shared = [same[head] for head in heads[done:]]
        return Frame(range(header.first + done, header.end), shared, payloads[done:], header.at)

    def _hand_out(self, header: Header) -> None:
        assert self._reading is not None  # noqa: S101 - the header was found there
        self._reading.sent = True
        self._taken.append((header, self._reading.boot))
        self._taken_bytes += header.bytes
        self._pass(header)

    def _pass(self, header: Header) -> None:
        """Move the cursor behind its frame."""
        self._waiting -= header.count
        self._waiting_bytes -= header.bytes
        self._expected = header.end
        self._at += header.bytes
        self._peeked = None
        self._peek()

    def _age_at_cursor(self) -> float:
        header = self._peek()
        return self._age(header, self._reading.boot) if header is not None and self._reading is not None else 0.0

    def _age(self, header: Header, boot: bytes) -> float:
        """On the clock that no one sets, within one boot."""
        if boot == self._boot:
            return max(0, self._clock.uptime() - header.uptime) / 1000
        return max(0, self._clock.wall() - header.at) / 1000

    def _delete(self, segment: Segment) -> None:
        self._segments.remove(segment)
        segment.close()
        segment.path.unlink(missing_ok=True)

    # Called without it.

    def _released(self, _: int) -> None:
        """The tracker's word: messages before its base are out."""
        with self._lock:
            if self._next < 0:
                return
            with contextlib.suppress(OSError):  # a stale position repeats messages, it loses none
                self._position.write(self.tracker.base)
            while self._taken and self._taken[0][0].end <= self._position.value:
                self._taken_bytes -= self._taken.popleft()[0].bytes


def _own(folder: Path) -> int:
    """A descriptor that keeps others from the spool, for as long as it is open. Raises OSError while one has it."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        raise OSError(errno.EBUSY, "another process uses this spool") from None
    return fd
