"""What a power cut leaves of a folder: `disk.c` writes a journal, and this plays it as a disk would.

The model, which is what ext4 with its default options promises and no more: what was written to a file is on the disk
once that file was synced. Until then each sector of 512 bytes may or may not be there, whatever else is (drawn from the
seed; with `survives` 0, none is). Names (new files, renames, removals) are on the disk once something in the folder was
synced after them, or the folder itself. A file whose name is there and whose contents never were is empty.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from benchmarks.faults.shims.build import built

_RECORD = struct.Struct("=IIiiQII")
_OPEN, _CLOSE, _WRITE, _TRUNCATE, _SYNC, _RENAME, _UNLINK = range(1, 8)
SECTOR = 512


def environment(folder: Path, journal: Path) -> dict[str, str]:
    """What a process needs, to have its changes of `folder` written down."""
    return {"LD_PRELOAD": str(built("disk")), "FAULTS_DISK": str(folder), "FAULTS_JOURNAL": str(journal)}


@dataclass(eq=False)
class _File:
    durable: bytearray = field(default_factory=bytearray)
    live: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes]] = field(default_factory=list)
    """Writes since it was synced: where, and what. A truncation is a mark of where, with None for the data."""

    def write(self, offset: int, data: bytes) -> None:
        _put(self.live, offset, data)
        self.pending.append((offset, data))

    def truncate(self, size: int) -> None:
        _resize(self.live, size)
        self.pending.append((size, b""))

    def sync(self) -> None:
        self.durable = bytearray(self.live)
        self.pending.clear()

    def after_cut(self, random: Random, survives: float) -> bytes:
        left = bytearray(self.durable)
        for offset, data in self.pending:
            if not data:
                if random.random() < survives:
                    _resize(left, offset)
                continue
            for at in range(0, len(data), SECTOR):
                if random.random() < survives:
                    _put(left, offset + at, data[at : at + SECTOR])
        return bytes(left)


class Disk:
    """Plays a journal over what was in the folder when it began."""

    def __init__(self, folder: Path, before: dict[str, bytes]) -> None:
        self._folder = folder
        self._names = {name: _File(bytearray(data), bytearray(data)) for name, data in before.items()}
        self._durable_names = dict(self._names)
        self._open: dict[tuple[int, int], str | _File] = {}
        """By process and descriptor: a file, or the path of a folder."""
        self.syncs = 0

    def play(self, journal: Path) -> None:
        for op, pid, fd, flags, offset, first, second in _records(journal):
            match op:
                case 1:
                    self._opened(pid, fd, flags, first.decode())
                case 6:
                    self._names[second.decode()] = self._names.pop(first.decode(), _File())
                case 7:
                    self._names.pop(first.decode(), None)
                case _:
                    self._changed(op, (pid, fd), offset, first)

    def _opened(self, pid: int, fd: int, flags: int, path: str) -> None:
        if Path(path).is_dir() or flags & os.O_DIRECTORY:
            self._open[pid, fd] = path
            return
        if path not in self._names:
            self._names[path] = _File()
        file = self._names[path]
        if flags & os.O_TRUNC:
            file.truncate(0)
        self._open[pid, fd] = file

    def _changed(self, op: int, who: tuple[int, int], offset: int, data: bytes) -> None:
        found = self._open.get(who)
        if op == _CLOSE:
            self._open.pop(who, None)
        elif op == _SYNC:
            self.syncs += 1
            self._durable_names = dict(self._names)
            if isinstance(found, _File):
                found.sync()
        elif isinstance(found, _File):
            if op == _WRITE:
                found.write(offset, data)
            elif op == _TRUNCATE:
                found.truncate(offset)

    def cut(self, random: Random, survives: float) -> dict[str, bytes]:
        """By path, what the files hold after the power was cut here."""
        return {name: file.after_cut(random, survives) for name, file in self._durable_names.items()}


def contents(folder: Path) -> dict[str, bytes]:
    """By path, what is in the files of a folder now."""
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def power_cut(folder: Path, journal: Path, before: dict[str, bytes], random: Random, survives: float) -> int:
    """Leave in `folder` what a power cut at the end of the journal would have; how often something was synced."""
    disk = Disk(folder, before)
    disk.play(journal)
    left = disk.cut(random, survives)
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            path.unlink()
    for name, data in left.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(data)
    journal.unlink()
    return disk.syncs


def _records(journal: Path) -> Iterator[tuple[int, int, int, int, int, bytes, bytes]]:
    data = journal.read_bytes()
    at = 0
    while at + _RECORD.size <= len(data):
        op, pid, fd, flags, offset, size, more = _RECORD.unpack_from(data, at)
        at += _RECORD.size
        if at + size + more > len(data):
            return  # the process was killed while it wrote this down: it has not gone on either
        yield op, pid, fd, flags, offset, data[at : at + size], data[at + size : at + size + more]
        at += size + more


def _put(content: bytearray, offset: int, data: bytes) -> None:
    if len(content) < offset:
        content.extend(bytes(offset - len(content)))
    content[offset : offset + len(data)] = data


def _resize(content: bytearray, size: int) -> None:
    del content[size:]
    content.extend(bytes(size - len(content)))
