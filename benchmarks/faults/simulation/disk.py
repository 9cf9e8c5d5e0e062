"""The disk of the spools: real files, in memory where there is such a folder; full at times, and torn by a crash."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from unittest.mock import patch

from benchmarks.faults.simulation.broker import Crash
from flowrt.delivery.spool.check import messages
from flowrt.delivery.spool.segment import Segment

_MEMORY = Path("/dev/shm")


class Disk:
    """Outlives the process; `close` gives it back."""

    def __init__(self, random: Random, before_write: Callable[[], None], give_way: Callable[[], None]) -> None:
        self.full = random.choice((0.0, 0.0, 0.2))
        """How often it is."""
        self._random, self._before_write, self._give_way = random, before_write, give_way
        self._root: Path | None = None

    def folder(self, sink: str) -> Path:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="flowrt-sim-", dir=_MEMORY if _MEMORY.is_dir() else None))
        return self._root / sink

    def kept(self, sink: str) -> set[bytes]:
        """Payloads that are durable and not out, read by another than who writes."""
        folder = self.folder(sink)
        return {payload for *_, payload in messages(folder)} if folder.is_dir() else set()

    def close(self) -> None:
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    @contextmanager
    def under(self) -> Iterator[None]:
        """Spools are written to this disk."""
        real = Segment.write

        def write(segment: Segment, data: bytes) -> None:
            self._give_way()
            if self._random.random() < self.full:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            try:
                self._before_write()
            except Crash:
                os.pwrite(segment.fd, data[: self._random.randint(0, len(data))], segment.size)
                raise
            real(segment, data)
            self._before_write()
            self._give_way()

        with patch.object(Segment, "write", write), patch.object(os, "fdatasync", lambda _: None):
            yield
