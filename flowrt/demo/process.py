"""`flowrt run` as a user starts it: a process of its own, stopped with SIGTERM."""

from __future__ import annotations

import collections
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from flowrt.errors import StartError

_READY_WITHIN_S, _STOP_WITHIN_S = 30.0, 20.0
_LINES_KEPT = 50


class Runtime:
    """A runtime that is ready from `__enter__` on. `arguments` are those of `flowrt run`."""

    def __init__(self, arguments: Sequence[str]) -> None:
        self.command = ("flowrt", "run", *arguments)
        self._arguments = arguments
        self._said: collections.deque[str] = collections.deque(maxlen=_LINES_KEPT)
        self._answered = threading.Event()
        self._ready = False
        self.ready_after_s = 0.0
        """From the start of the process to its line `ready`."""

    def __enter__(self) -> Self:
        """Raises StartError, with the process's own words, when it ends or is not ready in time."""
        started = time.monotonic()
        command = [sys.executable, "-m", "flowrt.cli.main", "run", *self._arguments]
        self._process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace")  # noqa: S603
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stderr,), name="runtime-stderr", daemon=True
        )
        self._reader.start()
        if not self._answered.wait(_READY_WITHIN_S) or not self._ready:
            self._stop()
            raise StartError(f"'{' '.join(self.command)}' did not get ready:\n{self.said()}")
        self.ready_after_s = time.monotonic() - started
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    @property
    def status(self) -> int | None:
        """The exit status, once it has ended."""
        return self._process.returncode

    def resident_bytes(self) -> int:
        """Memory the process holds, as the kernel counts it; 0 where it does not say."""
        try:
            status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii")
        except OSError:
            return 0
        return next((int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmRSS:")), 0)

    def said(self) -> str:
        """The last lines of its standard error."""
        return "\n".join(self._said)

    def _read(self, lines: Iterable[str]) -> None:
        for line in lines:
            self._said.append(line.rstrip("\n"))
            if line.strip() == "ready":
                self._ready = True
                self._answered.set()
        self._answered.set()

    def _stop(self) -> None:
        if self.alive:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_WITHIN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._reader.join()
        if self._process.stderr is not None:
            self._process.stderr.close()


def free_port() -> int:
    """A port of 127.0.0.1 that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
