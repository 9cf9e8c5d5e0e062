"""The reading side: whose a message is, and what was dealt to whom and is not done with."""

from __future__ import annotations

import socket
import threading
from collections import deque
from collections.abc import Callable, Sequence
from zlib import crc32

from flowrt.endpoints.base import Stopped
from flowrt.message import Batch
from flowrt.workers.blame import Blame
from flowrt.workers.wire import DONE, HEADS_MAX, Encoder

_WINDOW = 1 << 18
"""Bytes that may be under way to a worker: some thousand messages, so that it never waits for the next."""


class Feed:
    """The way to one worker, whichever process is it at present. What it has not done with is dealt to its successor,
    in the same order."""

    def __init__(self, lost: Callable[[], None], condemn: Callable[[int, Batch], None]) -> None:
        """`lost` is called when a worker's end of the connection is gone; `condemn` brings a message of a source to its
        end that ends workers, and settles it."""
        self._lost = lost
        self._condemn = condemn
        self._blame = Blame()
        self._attaching = threading.Lock()
        self._sending = threading.Lock()
        self._attached = threading.Condition(self._sending)
        self._open: deque[tuple[int, Batch]] = deque()
        self._open_lock = threading.Lock()
        self._connection: socket.socket | None = None
        self._encoder = Encoder()
        self._reader: threading.Thread | None = None
        self._closed = False

    def attach(self, connection: socket.socket, *, worked: bool = False) -> None:
        """A worker has been started: deal to it what its predecessor left, then let new messages through. `worked`:
        there was one before, and it had begun to work."""
        with self._attaching:
            self._attach(connection, worked=worked)

    def send(self, source: int, batch: Batch) -> None:
        """Waits while there is no worker, or while it is busy. Raises `Stopped` once the feed is closed."""
        with self._sending:
            while (self._connection is None or self._blame.alone) and not self._closed:
                self._attached.wait()
            if self._closed:
                raise Stopped
            if batch.tracker is not None:
                with self._open_lock:
                    self._open.append((source, batch))
            self._write(source, batch)

    def close(self) -> None:
        """Nothing more will come: the worker drains and ends."""
        self._closed = True
        with self._sending:
            self._attached.notify_all()
            if self._connection is not None:
                _shut(self._connection)

    def abandon(self) -> None:
        """Free whoever waits in `send`."""
        self._closed = True
        connection = self._connection
        if connection is not None:
            _shut(connection, socket.SHUT_RDWR)
        with self._sending:
            self._attached.notify_all()

    def join(self) -> None:
        """Wait for the last word of a worker that has ended."""
        if self._reader is not None:
            self._reader.join()

    @property
    def open_count(self) -> int:
        """Messages dealt and not done with, of those that somebody waits for."""
        with self._open_lock:
            return sum(len(batch) for _, batch in self._open)

    def _attach(self, connection: socket.socket, *, worked: bool) -> None:
        if self._reader is not None:
            self._reader.join()  # what the predecessor said before its end counts
            with self._open_lock:
                guilty = self._blame.died(sum(len(batch) for _, batch in self._open), working=worked)
            if guilty:
                self._condemn(*self._oldest())
                self._take_off(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _WINDOW)
        self._reader = threading.Thread(target=self._read, args=(connection,), name="flowrt/feed", daemon=True)
        self._reader.start()
        with self._sending:
            self._connection, self._encoder = connection, Encoder()
            if self._blame.alone:
                self._write(*self._oldest())
            else:
                with self._open_lock:
                    left = list(self._open)
                for source, batch in left:
                    self._write(source, batch)
            self._attached.notify_all()

    def _write(self, source: int, batch: Batch) -> None:
        if self._connection is None:
            return
        try:
            self._connection.sendall(b"".join(self._encoder.frame(source, batch)))
        except OSError:
            self._connection = None  # the supervisor sees the process end, and attaches another

    def _read(self, connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as words:
            try:
                while len(word := words.read(DONE.size)) == DONE.size:
                    self._done(DONE.unpack(word)[0])
            except OSError:  # reset: the worker died with unread messages
                pass
        self._lost()

    def _done(self, count: int) -> None:
        alone = bool(self._blame.alone)
        for batch in self._take_off(count):
            if batch.tracker is not None:
                batch.tracker.settle(batch.seqs)
        if alone:
            with self._sending:
                if self._blame.alone:
                    self._write(*self._oldest())
                self._attached.notify_all()

    def _oldest(self) -> tuple[int, Batch]:
        """The oldest message that is not done with."""
        with self._open_lock:
            source, batch = self._open[0]
            return source, batch.slice(0, 1)

    def _take_off(self, count: int) -> list[Batch]:
        """The oldest messages, which are done with."""
        finished = []
        with self._open_lock:
            self._blame.done(count)
            while count and self._open:
                source, batch = self._open.popleft()
                size = min(count, len(batch))
                if size < len(batch):
                    self._open.appendleft((source, batch.slice(size, len(batch))))
                finished.append(batch.slice(0, size))
                count -= size
        return finished


class Dealer:
    """Divides messages among feeds. A topic always goes to the same one: its order stays."""

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self._feeds = feeds
        self._owners = _Owners(len(feeds))
        self._dealing = threading.Lock()
        self._closed = False

    def close(self) -> None:
        """Deal what has begun to the end, so that no message that came before one that is done with is left over; then
        close the feeds."""
        with self._dealing:
            self._closed = True
        for feed in self._feeds:
            feed.close()

    def deliver(self, source: int) -> Callable[[Batch], None]:
        """What a source delivers to."""
        return lambda batch: self._deal(source, batch)

    def _deal(self, source: int, batch: Batch) -> None:
        with self._dealing:
            if self._closed:
                raise Stopped
            self._divide(source, batch)

    def _divide(self, source: int, batch: Batch) -> None:
        owners = self._owners
        if len(owners) > HEADS_MAX:
            owners.clear()
        whose = [owners[head.topic] for head in batch.heads]
        first = whose[0]
        if whose.count(first) == len(whose):
            self._feeds[first].send(source, batch)
            return
        for owner in dict.fromkeys(whose):
            self._feeds[owner].send(source, batch.select(list(map(owner.__eq__, whose))))


class _Owners(dict[str, int]):
    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def __missing__(self, topic: str) -> int:
        owner = self[topic] = crc32(topic.encode("utf-8", "surrogatepass")) % self._count
        return owner


def _shut(connection: socket.socket, how: int = socket.SHUT_WR) -> None:
    try:
        connection.shutdown(how)
    except OSError:
        return  # the other end was faster
