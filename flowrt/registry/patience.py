"""How slow another side may be: an answer begins in time, small ones end in time, large ones keep to a least rate.

A time-out of sockets bounds the wait for the next byte only: one byte each half minute would hold an update for years.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from flowrt.registry.blobs import Refused

ANSWER_SECONDS = 60.0
"""Within these an answer has begun, its headers are there, and a small one is whole."""
LEAST_RATE = 64
"""Bytes a second that a transfer must bring on average, beyond the first `ANSWER_SECONDS`: slower than any modem."""

Clock = Callable[[], float]


def in_time(parts: Iterator[bytes], clock: Clock = monotonic) -> Iterator[bytes]:
    """The same parts; raises `Refused` when they come slower than `LEAST_RATE`. What the taker needs for them is not
    counted."""
    waited, came = 0.0, 0
    while True:
        asked = clock()
        part = next(parts, None)
        if part is None:
            return
        waited += clock() - asked
        came += len(part)
        if waited > ANSWER_SECONDS + came / LEAST_RATE:
            raise Refused(f"too slow: {came} bytes came in {waited:.0f} s; {LEAST_RATE} a second are the least")
        yield part


def whole(parts: Iterator[bytes], most: int, clock: Clock = monotonic) -> bytes:
    """A small answer, or a little more than `most` bytes of it. Raises `Refused` for one that takes too long."""
    until, found = clock() + ANSWER_SECONDS, b""
    for part in parts:
        found += part
        if len(found) > most:
            break
        if clock() > until:
            raise Refused(f"too slow: {len(found)} bytes came in {ANSWER_SECONDS:g} s")
    return found


class Prompt:
    """Mixed into a connection of HTTP: its answers begin in time, however slowly their headers trickle in."""

    sock: Any

    def getresponse(self, *arguments: Any, **options: Any) -> Any:
        late = threading.Event()
        timer = threading.Timer(ANSWER_SECONDS, _cut, [self.sock, late])
        timer.daemon = True
        timer.start()
        try:
            return super().getresponse(*arguments, **options)  # type: ignore[misc] # of what it is mixed into
        finally:
            timer.cancel()
            if late.is_set():  # whatever the library makes of headers that end in the midst
                raise Refused(f"too slow: no answer has begun within {ANSWER_SECONDS:g} s") from None


class Plain(Prompt, http.client.HTTPConnection):
    """By HTTP."""


class Secured(Prompt, http.client.HTTPSConnection):
    """By HTTPS."""


def _cut(sock: socket.socket, late: threading.Event) -> None:
    late.set()
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not TLS's own goodbye: that would wait for the other side
