"""What systemd is told (sd_notify(3)): ready, reloading, stopping, a line of status, and that the watchdog may wait.

Without a service manager every call does nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from math import inf
from time import monotonic, monotonic_ns


class Service:
    """The way to the service manager, if there is one. Call it from one thread."""

    def __init__(self, environ: Mapping[str, str] = os.environ, clock: Callable[[], float] = monotonic) -> None:
        self._address = _address(environ.get("NOTIFY_SOCKET", ""))
        self._interval = _watchdog_seconds(environ)
        self._clock = clock
        self._alive_at = -inf

    def ready(self, status: str = "") -> None:
        """Started, or done reloading."""
        self._send("READY=1", f"STATUS={_line(status)}")

    def reloading(self) -> None:
        self._send("RELOADING=1", f"MONOTONIC_USEC={monotonic_ns() // 1000}")

    def stopping(self, status: str = "draining") -> None:
        self._send("STOPPING=1", f"STATUS={_line(status)}")

    def status(self, text: str) -> None:
        """What `systemctl status` shows."""
        self._send(f"STATUS={_line(text)}")

    def alive(self) -> None:
        """Put the watchdog off. Call it often: it is told twice in its interval, and not at all where there is none."""
        now = self._clock()
        if self._interval is not None and now - self._alive_at >= self._interval / 2:
            self._alive_at = now
            self._send("WATCHDOG=1")

    def _send(self, *lines: str) -> None:
        """A manager that is away or busy must never hold a graph up: what cannot be sent at once is not sent."""
        if self._address is None:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
            try:
                sender.sendto("\n".join(lines).encode(), self._address)
            except OSError:
                return


def _address(name: str) -> str | None:
    """A path, or `@name` for Linux's abstract sockets; anything else (vsock) is not for us."""
    if name.startswith("@"):
        return "\0" + name[1:]
    return name if name.startswith("/") else None


def _watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """`WATCHDOG_USEC`, when it is meant for this process."""
    if environ.get("WATCHDOG_PID") not in (None, str(os.getpid())):
        return None
    interval = environ.get("WATCHDOG_USEC", "")
    return int(interval) / 1_000_000 if interval.isdecimal() and int(interval) else None


def _line(text: str) -> str:
    return " ".join(text.split())
