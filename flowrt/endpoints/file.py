"""Files of one message a line: where people start, and what tests and replays read.

A source at its file's end is done, unless it follows. With `resume` it goes on where it was (`file_position.py`). A
sink has a message for good when the operating system says its line is on the disk.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate, compress
from pathlib import Path
from time import monotonic, time_ns
from typing import BinaryIO

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Deliver, EndpointCounters, Stopped, refuse
from flowrt.endpoints.file_config import STANDARD_STREAM, FileOptions
from flowrt.endpoints.file_position import FilePosition
from flowrt.endpoints.topics import topic_fault
from flowrt.errors import NodeFault, StartError
from flowrt.events import Emit, EndpointConnected, EndpointLost, EndpointRefused
from flowrt.message import Batch, Head
from flowrt.operators.source import SourceOperation

READ_BYTES = 2**18
"""What one read takes."""
BATCH_MESSAGES = 512
"""Lines handed on at once."""
FOLLOW_SECONDS = 0.25
"""How often the end of a file is looked at for more."""
RETRY_SECONDS = 1.0
"""The pause after a write that failed, on a full disk for one."""


class FileSource:
    """See `flowrt.endpoints.base.Source`."""

    def __init__(
        self, endpoint: str, options: FileOptions, operation: SourceOperation, emit: Emit, position: Path | None = None
    ) -> None:
        """`position` is a folder for how far it is. Raises `StartError` for a file that cannot be read."""
        self.counters = EndpointCounters()
        wanted = options.follow if options.resume is None else options.resume
        keeps = wanted and position is not None and str(options.path) != STANDARD_STREAM
        self._position = FilePosition(position) if keeps and position is not None else None
        self._endpoint = endpoint
        self._options = options
        self._emit = emit
        _check_readable(options, operation)
        self._head = head_of(options, operation)
        # Where no position is kept, the tracker only tells the graph what is open.
        self._tracker = Tracker(self._position.released if self._position is not None else lambda _: None)
        self._stopping = threading.Event()
        self._thread: threading.Thread | None = None
        self._file: BinaryIO | None = None
        self._last_time = 0

    def start(self, deliver: Deliver, ended: Callable[[], None]) -> None:
        name = f"flowrt/{self._endpoint}/in"
        self._thread = threading.Thread(target=self._run, args=(deliver, ended), name=name, daemon=True)
        self._thread.start()

    def broken(self) -> bool:
        """A thread that ends early ends the source with it."""
        return False

    def ready(self) -> bool:
        return self._file is not None

    def stop(self) -> None:
        self._stopping.set()
        if self._thread is not None and str(self._options.path) != STANDARD_STREAM:
            self._thread.join(2 * FOLLOW_SECONDS)

    def close(self) -> None:
        self.stop()
        if self._position is not None:
            self._position.close()

    def _run(self, deliver: Deliver, ended: Callable[[], None]) -> None:
        try:
            while True:
                with _open_to_read(self._options) as file:
                    self._file = file
                    self.counters.connected = self.counters.connects = 1
                    self._emit(EndpointConnected(self._endpoint, str(self._options.path)))
                    for lines, ends in self._batches(file, self._begin(file)):
                        self._pace(len(lines))
                        if self._position is not None:
                            self._position.read(ends)
                        deliver(self._batch(lines))
                if not self._await_next_file():
                    break
        except Stopped:
            return
        except OSError as error:
            self._emit(EndpointRefused(self._endpoint, str(self._options.path), error.strerror or str(error)))
        finally:
            self.counters.connected = 0
        if not self._stopping.is_set():
            ended()

    def _begin(self, file: BinaryIO) -> int:
        """Where to begin to read. Raises OSError."""
        if self._position is None:
            return 0
        at, words = self._position.begin(file.fileno(), self._options.path)
        if words:
            self._emit(EndpointRefused(self._endpoint, str(self._options.path), words))
        file.seek(at)
        return at

    def _batches(self, file: BinaryIO, start: int) -> Iterator[tuple[Sequence[bytes], Sequence[int]]]:
        """Lines, and the offset at which each ends."""
        limit = self._options.max_line
        most = max(1, min(BATCH_MESSAGES, int(self._options.rate or BATCH_MESSAGES)))
        for lines, ends in _lines(self._chunks(file), limit, self._skipped, start):
            for at in range(0, len(lines), most):
                if self._stopping.is_set():
                    return
                yield lines[at : at + most], ends[at : at + most]

    def _chunks(self, file: BinaryIO) -> Iterator[bytes]:
        while not self._stopping.is_set():
            chunk = file.read(READ_BYTES) if not hasattr(file, "read1") else file.read1(READ_BYTES)
            if chunk:
                yield chunk
            elif not self._options.follow or self._replaced(file):
                return
            else:
                self._stopping.wait(FOLLOW_SECONDS)

    def _replaced(self, file: BinaryIO) -> bool:
        """Whether another file has the name now, or this one was cut."""
        if str(self._options.path) == STANDARD_STREAM:
            return False
        try:
            there, ours = self._options.path.stat(), os.fstat(file.fileno())
        except OSError:
            return False  # between two files: the new one will come
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino) or there.st_size < file.tell()

    def _await_next_file(self) -> bool:
        """Whether to read another file under the same name: once all of this one is handled."""
        if not self._options.follow:
            return False
        while self._tracker.open_count and not self._stopping.is_set():
            self._stopping.wait(FOLLOW_SECONDS / 10)
        return not self._stopping.is_set()

    def _skipped(self, lines: int) -> None:
        self.counters.drop("malformed", lines)

    def _pace(self, count: int) -> None:
        if self._options.rate is not None:
            self._stopping.wait(count / self._options.rate)
            if self._stopping.is_set():
                raise Stopped

    def _batch(self, lines: Sequence[bytes]) -> Batch:
        count = len(lines)
        self.counters.messages_in += count
        self.counters.bytes_in += sum(map(len, lines))
        start = max(self._last_time + 1, (time_ns() // 1_000_000) << 20)
        self._last_time = start + count - 1
        times, born = range(start, start + count), [monotonic()] * count
        return Batch([self._head] * count, lines, times, born, self._tracker.open(count), self._tracker)


class FileSink:
    """See `flowrt.endpoints.base.Sink`. Several sinks may append to one file: each batch is one write."""

    def __init__(
        self, endpoint: str, options: FileOptions, on_refused: Callable[[Batch, NodeFault], None] | None, emit: Emit
    ) -> None:
        self.counters = EndpointCounters()
        self._endpoint = endpoint
        self._options = options
        self._on_refused = on_refused
        self._emit = emit
        self._closed = threading.Event()
        self._fd = -1

    def start(self) -> None:
        with contextlib.suppress(OSError):  # the first write tries again, and says what is wrong
            self._open()

    def broken(self) -> bool:
        """It has no thread of its own."""
        return False

    def ready(self) -> bool:
        return self._fd >= 0

    def send(self, batch: Batch) -> None:
        lines, batch = self._as_lines(batch)
        if not lines:
            return
        data = b"\n".join([*lines, b""])
        while True:
            if self._closed.is_set():
                raise Stopped
            try:
                self._append(data)
                break
            except OSError as error:
                reason = error.strerror or str(error)
                self._emit(EndpointLost(self._endpoint, str(self._options.path), reason, RETRY_SECONDS))
                self._closed.wait(RETRY_SECONDS)
        self.counters.messages_out += len(lines)
        self.counters.bytes_out += len(data)
        if batch.tracker is not None:
            batch.tracker.settle(batch.seqs)

    def empty(self) -> bool:
        """It keeps nothing on disk."""
        return True

    def flush(self, timeout: float) -> bool:  # noqa: ARG002 - nothing is under way between two calls of `send`
        return True

    def close(self) -> None:
        self._closed.set()
        fd, self._fd = self._fd, -1
        if fd > 2:
            os.close(fd)
        self.counters.connected = 0

    def _open(self) -> None:
        if self._fd < 0:
            path = self._options.path
            self._fd = 1 if str(path) == STANDARD_STREAM else _open_to_append(path)
            self.counters.connected = 1
            self.counters.connects += 1
            self._emit(EndpointConnected(self._endpoint, str(path)))

    def _append(self, data: bytes) -> None:
        """All of it, or an OSError and none of it."""
        self._open()
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:])
            if self._fd > 2:
                os.fsync(self._fd)
        except OSError:
            if written and self._fd > 2:
                os.ftruncate(self._fd, os.fstat(self._fd).st_size - written)
            raise

    def _as_lines(self, batch: Batch) -> tuple[Sequence[bytes], Batch]:
        """One line a row. A JSON value of several lines is written on one; other text of several lines is refused."""
        payloads = batch.payloads
        if not any(b"\n" in payload for payload in payloads):
            return payloads, batch
        lines = [_one_line(payload, compact=self._options.format == "jsonl") for payload in payloads]
        keep = [line is not None for line in lines]
        refused = batch.select([not kept for kept in keep])
        if len(refused):
            self._refuse(refused, NodeFault("send", "a payload of several lines does not fit a file of lines"))
        return [line for line in lines if line is not None], batch.select(keep)

    def _refuse(self, rows: Batch, fault: NodeFault) -> None:
        refuse(rows, fault, self.counters, self._on_refused)


def _open_to_append(path: Path) -> int:
    """A descriptor at the beginning of a line. Raises OSError."""
    fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o640)
    try:
        if not _ends_a_line(path):
            os.write(fd, b"\n")
    except OSError:
        os.close(fd)
        raise
    return fd


def _ends_a_line(path: Path) -> bool:
    """Whether a file, if it is one and has anything in it, ends with a whole line. A process that was killed at its
    write leaves a part of one, and a message behind that would be no line of its own."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode) or not status.st_size:
        return True
    with contextlib.suppress(PermissionError), path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
    return True  # it may be written only


def _lines(
    chunks: Iterator[bytes], limit: int, skipped: Callable[[int], None], start: int = 0
) -> Iterator[tuple[list[bytes], list[int]]]:
    """The lines of a file as they become complete, empty and overlong ones left out, and where each ends; the last
    needs no end. The first chunk begins at `start`."""
    rest, behind = bytearray(), start
    overlong = False
    for chunk in chunks:
        *complete, tail = chunk.split(b"\n")
        ends = [behind + size + count for count, size in enumerate(accumulate(map(len, complete)), 1)]
        behind += len(chunk)
        if complete:
            complete[0] = bytes(rest) + complete[0]
            rest.clear()
            if overlong:
                del complete[0], ends[0]
                overlong = False
        rest += tail
        if len(rest) > limit and not overlong:
            overlong = True
            skipped(1)
        if overlong:
            rest.clear()
        yield _sound(complete, ends, limit, skipped)
    if rest and not overlong:
        yield _sound([bytes(rest)], [behind], limit, skipped)


def _sound(
    lines: Sequence[bytes], ends: Sequence[int], limit: int, skipped: Callable[[int], None]
) -> tuple[list[bytes], list[int]]:
    full = [line.rstrip(b"\r") for line in lines]
    if any(len(line) > limit for line in full):
        skipped(sum(len(line) > limit for line in full))
    keep = [0 < len(line) <= limit for line in full]
    return list(compress(full, keep)), list(compress(ends, keep))


def _one_line(payload: bytes, *, compact: bool) -> bytes | None:
    text = payload.rstrip(b"\r\n")
    if b"\n" not in text:
        return text
    if not compact:
        return None
    try:
        return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False).encode()
    except (ValueError, RecursionError):
        return None


def _check_readable(options: FileOptions, operation: SourceOperation) -> None:
    """Found at the start rather than as a graph that ends at once. Not opened: opening a pipe may wait."""
    path = options.path
    if str(path) != STANDARD_STREAM and (path.is_dir() or not os.access(path, os.R_OK)):
        why = "there is no such file" if not path.exists() else "it is a folder" if path.is_dir() else "not permitted"
        raise StartError(f"source '{operation.name}': cannot read {path}: {why}")


def _open_to_read(options: FileOptions) -> contextlib.AbstractContextManager[BinaryIO]:
    if str(options.path) == STANDARD_STREAM:
        return contextlib.nullcontext(sys.stdin.buffer)
    return options.path.open("rb")


def head_of(options: FileOptions, operation: SourceOperation) -> Head:
    """What all messages of a file share. Raises `StartError` when its topic can be none."""
    return Head(_topic(options, operation), "application/json" if options.format == "jsonl" else None)


def _topic(options: FileOptions, operation: SourceOperation) -> str:
    topic = operation.topics[0] if operation.topics else options.path.name
    if len(operation.topics) > 1:
        raise StartError(f"source '{operation.name}': a file's messages have one topic, not {len(operation.topics)}")
    if fault := topic_fault(topic):
        raise StartError(f"source '{operation.name}': '{topic}': {fault}")
    return topic
