"""One file of a spool: frames one behind the other, written once, read in order, deleted whole."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from flowrt.delivery.spool.frames import HEADER_BYTES, MAGIC, Damaged, Header, read_body, read_header
from flowrt.values import Struct

SUFFIX = ".spool"
_MARK = b"flowrt spool 1\n\0"
START_BYTES = len(_MARK) + 16
"""The mark and the machine's boot id, before the first frame."""
_SEARCH_BYTES = 2**20


class Segment(Struct):
    """A file that is open. `size` is how far it may be read: what is durable."""

    path: Path
    first: int
    """Number of the first message it was made for; its name says so."""
    fd: int
    size: int
    boot: bytes
    """The boot in which it was written: uptimes of one boot can be compared."""
    end: int = 0
    """The number behind its last message's."""
    sent: bool = False
    """Whether some frame of it was handed out."""

    def read(self, at: int, size: int) -> bytes:
        """Bytes of the file. Raises OSError."""
        return os.pread(self.fd, min(size, max(0, self.size - at)), at)

    def header(self, at: int) -> Header:
        """Of the frame at `at`, which lies within the file as a whole. Raises `Damaged` or OSError."""
        header = read_header(self.read(at, HEADER_BYTES))
        if at + header.bytes > self.size:
            raise Damaged("the frame ends behind the file's end")
        return header

    def body(self, at: int, header: Header) -> bytes:
        """What is behind the header of the frame at `at`. Raises OSError."""
        return self.read(at + header.bytes - header.body, header.body)

    def readable(self, at: int, header: Header) -> bool:
        """Whether the frame's messages are as they were written. Raises OSError."""
        try:
            read_body(header, self.body(at, header))
        except Damaged:
            return False
        return True

    def frames(self, at: int = START_BYTES) -> Iterator[tuple[int, Header]]:
        """Where each frame begins, and its header; damaged stretches are passed over. Raises OSError."""
        while at < self.size:
            try:
                header = self.header(at)
            except Damaged:
                at = self.next_sound(at + 1)
                continue
            yield at, header
            at += header.bytes

    def next_sound(self, at: int) -> int:
        """Where the next frame with a sound header begins; the file's end when there is none. Raises OSError."""
        while at < self.size:
            found = self.read(at, _SEARCH_BYTES).find(MAGIC)
            if found < 0:
                at += max(1, _SEARCH_BYTES - len(MAGIC) + 1)
                continue
            at += found
            try:
                self.header(at)
                return at
            except Damaged:
                at += 1
        return self.size

    def write(self, data: bytes) -> None:
        """Behind what may be read, durably, or not at all as far as can be told; `size` is the caller's to move. Raises
        OSError."""
        written = 0
        try:
            while written < len(data):
                written += os.pwrite(self.fd, data[written:], self.size + written)
            os.fdatasync(self.fd)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self.fd, self.size)
            raise

    def cut(self, size: int) -> None:
        """Give up what is behind `size`. Raises OSError."""
        os.ftruncate(self.fd, size)
        os.fdatasync(self.fd)
        self.size = size

    def close(self) -> None:
        os.close(self.fd)


def create(folder: Path, first: int, boot: bytes) -> Segment:
    """A new file. Raises OSError, and leaves none then."""
    path = folder / f"{first:020d}{SUFFIX}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    segment = Segment(path, first, fd, 0, boot, end=first)
    try:
        segment.write(_MARK + boot)
        segment.size = START_BYTES
        sync_folder(folder)
    except OSError:
        segment.close()
        path.unlink(missing_ok=True)
        raise
    return segment


def open_existing(path: Path, *, write: bool = True) -> Segment:
    """A file that is there. Raises OSError, and `Damaged` for one that was never finished or is none of ours."""
    fd = os.open(path, (os.O_RDWR if write else os.O_RDONLY) | os.O_CLOEXEC)
    segment = Segment(path, int(path.stem), fd, os.fstat(fd).st_size, b"", end=int(path.stem))
    start = segment.read(0, START_BYTES)
    if len(start) < START_BYTES or not start.startswith(_MARK):
        segment.close()
        raise Damaged("it does not begin as a spool's file does")
    segment.boot = start[len(_MARK) :]
    return segment


def segment_paths(folder: Path) -> list[Path]:
    """The files of a spool, the oldest first. Raises OSError."""
    return sorted(path for path in folder.glob(f"*{SUFFIX}") if path.stem.isdecimal())


def sync_folder(folder: Path) -> None:
    """Make names of new files durable. Raises OSError."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
