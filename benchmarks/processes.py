"""Processes under measurement: started, watched from outside, stopped by their own id."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_SECONDS = 15.0
"""How long a process may take to end after SIGTERM before it is killed."""


class BenchError(Exception):
    """A measurement could not be made; the message says why and what to do."""


class Process:
    """One child, as a context manager; what it writes is kept for the message of a failure."""

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None) -> None:
        self.name = name
        self.command = command
        self.started = 0.0
        """When it was started, on the monotonic clock."""
        self._env = {**os.environ, **(env or {})}
        self._log = tempfile.NamedTemporaryFile("w+b", prefix="bench-", suffix=".log")  # noqa: SIM115 - closed in close
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def start(self) -> None:
        self._log.truncate(0)
        self._log.seek(0)
        self.started = time.monotonic()
        self._child = subprocess.Popen(self.command, stdout=self._log, stderr=subprocess.STDOUT, env=self._env)

    @property
    def pid(self) -> int:
        assert self._child is not None
        return self._child.pid

    def output(self) -> str:
        """Everything it has written so far."""
        return Path(self._log.name).read_text(errors="replace")

    def check(self) -> None:
        """Raise `BenchError` with its last words when it has ended."""
        assert self._child is not None
        if self._child.poll() is not None:
            tail = "\n    ".join(self.output().splitlines()[-12:])
            raise BenchError(f"{self.name} ended with status {self._child.returncode}:\n    {tail}")

    def wait_line(self, line: str, timeout: float = 30.0) -> None:
        """Wait until it has written a line. Raises `BenchError`."""
        until = time.monotonic() + timeout
        while line not in self.output().splitlines():
            self.check()
            if time.monotonic() > until:
                raise BenchError(f"{self.name} did not write '{line}' within {timeout:.0f} s:\n{self.output()}")
            time.sleep(0.01)

    def wait(self, timeout: float) -> None:
        """Wait for its own end, status 0. Raises `BenchError`."""
        assert self._child is not None
        try:
            status = self._child.wait(timeout)
        except subprocess.TimeoutExpired:
            raise BenchError(f"{self.name} did not end within {timeout:.0f} s") from None
        if status:
            self.check()

    def cpu_seconds(self) -> float:
        """User and system time of all its threads so far, living and ended, to the nanosecond."""
        return time.clock_gettime(~self.pid << 3 | 2)  # the clock id that clock_getcpuclockid(3) makes of a pid

    def resident_bytes(self) -> int:
        """Memory it holds at present."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")

    def stop(self) -> None:
        """SIGTERM, then SIGKILL when that was not enough."""
        if self._child is not None and self._child.poll() is None:
            self._child.send_signal(signal.SIGTERM)
            try:
                self._child.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """SIGKILL: no last word."""
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()

    def add_env(self, **env: str) -> None:
        """For its next start."""
        self._env.update(env)

    def send_signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    def close(self) -> None:
        """Stop, and forget what it wrote."""
        self.stop()
        self._log.close()
