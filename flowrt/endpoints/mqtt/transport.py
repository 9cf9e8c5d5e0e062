"""Between paho and the socket: message packets pass paho by.

paho is given this object for its socket. What arrives is scanned in bulk; only packets that are the session's business
(CONNACK, SUBACK, DISCONNECT …) are left for paho's `recv`. What leaves, paho's and ours, goes through one buffer, so
that packets are never mixed up.

One thread reads. Any thread may write: bytes go to the socket at once where it takes them, and else wait here until the
reading thread finds it writable.
"""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import ssl
import sys
import termios
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, cast

from flowrt.endpoints.mqtt.scan import Acks, Item, Other, Run, Scanner

READ_BYTES = 65536
"""What one read takes: several hundred usual messages, and a size that an allocator reuses."""
READ_LARGE_BYTES = 2**20
"""The same while a large packet is coming in."""
TLS_RECORD_BYTES = 2**14
"""What TLS sends at once. OpenSSL wants a write that it put off repeated as it was: no write is larger than this."""
JOIN_BYTES = 2**18
"""Pieces are joined up to this size before they are sent: a copy is cheaper than a system call, up to here."""


class Transport:
    """A connected socket that yields messages. `wake` is called when a write leaves something behind."""

    def __init__(self, sock: Any, scanner: Scanner, wake: Callable[[], None]) -> None:
        self._sock = sock
        self._scanner = scanner
        self._wake = wake
        self._lock = threading.Lock()
        plain = isinstance(sock, socket.socket) and not isinstance(sock, ssl.SSLSocket)
        self._prompt = _make_prompt(self._raw())
        # TLS and web sockets may not be read and written at the same time.
        self._reading = contextlib.nullcontext() if plain else self._lock
        self._piece = JOIN_BYTES if plain else TLS_RECORD_BYTES
        self._for_paho = bytearray()
        self._out = bytearray()
        self._closed = False
        self.last_received = self.last_sent = monotonic()
        self.last_read_bytes = self.last_read_messages = 0
        self._written = 0

    # What paho calls.

    def recv(self, size: int) -> bytes:
        if not self._for_paho:
            raise BlockingIOError
        data = bytes(self._for_paho[:size])
        del self._for_paho[:size]
        return data

    def send(self, data: bytes | bytearray) -> int:
        self.write([bytes(data)])
        return len(data)

    def pending(self) -> int:
        """Bytes that wait for paho."""
        return len(self._for_paho)

    def fileno(self) -> int:
        return int(self._sock.fileno())

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - the interface of sockets
        self._sock.setblocking(flag)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            self._sock.close()

    # What the connection calls.

    def read(self) -> list[Item]:
        """What has come, once the socket is readable. Raises `Malformed`, OSError when the connection has ended."""
        try:
            with self._reading:
                data = self._sock.recv(READ_BYTES if self._scanner.missing < READ_BYTES else READ_LARGE_BYTES)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return []
        if not data:
            raise ConnectionError("the broker closed the connection")
        self.last_received = monotonic()
        self.last_read_bytes = len(data)
        items = self._scanner.feed(data)
        count = 0
        for item in items:
            if type(item) is Run:
                count += len(item.payloads)
            elif type(item) is Acks:
                count += len(item.ids)
            elif type(item) is Other:
                self._for_paho += item.packet
        self.last_read_messages = count
        return items

    def incoming(self) -> int:
        """Bytes that the kernel holds for the next read; as they are on the wire, where that is encrypted."""
        held = fcntl.ioctl(self._sock.fileno(), termios.FIONREAD, bytes(4))
        return int.from_bytes(held, sys.byteorder)

    def buffered(self) -> bool:
        """Whether bytes have been decrypted that no poll will tell of."""
        pending = getattr(self._sock, "pending", None)
        return pending is not None and bool(pending())

    def write(self, pieces: Sequence[bytes]) -> int:
        """Send, or keep for sending. Where the bytes end among all that was written (compare `handed`), or 0 when the
        connection has ended."""
        with self._lock:
            if self._closed:
                return 0
            idle = not self._out
            for data in joined(pieces):
                self._written += len(data)
                sent = 0 if self._out else self._send(data)
                self._out += memoryview(data)[sent:]
            left, end = bool(self._out), self._written
        if left and idle:
            self._wake()
        return end

    def flush(self) -> None:
        """Send on what was kept, once the socket is writable."""
        with self._lock:
            if not self._closed and self._out:
                sent = self._send(bytes(self._out[:JOIN_BYTES]))
                del self._out[:sent]

    @property
    def handed(self) -> int:
        """Bytes the kernel has taken since the connection began."""
        with self._lock:
            return self._written - len(self._out)

    def arrived(self) -> int:
        """Bytes that have reached the other side since the connection began, or a few less where it is encrypted."""
        under_way = fcntl.ioctl(self._sock.fileno(), termios.TIOCOUTQ, bytes(4))
        return self.handed - int.from_bytes(under_way, sys.byteorder)

    @property
    def waiting(self) -> int:
        """Bytes kept for sending."""
        return len(self._out)

    def end(self, until: float) -> None:
        """Send nothing more, and wait until the other side ends too. A socket that is closed while something unread
        lies in it is reset by the kernel, and the last that we said may be lost: acknowledgements, most of all."""
        with contextlib.suppress(OSError):
            self._raw().shutdown(socket.SHUT_WR)
            poller = select.poll()
            poller.register(self.fileno(), select.POLLIN)
            while (left := until - monotonic()) > 0 and poller.poll(left * 1000):
                if not self._raw().recv(READ_BYTES):
                    break

    def abort(self) -> None:
        """End the connection from any thread; the reading thread notices and cleans up."""
        with contextlib.suppress(OSError):
            self._raw().shutdown(socket.SHUT_RDWR)

    def _send(self, data: bytes) -> int:
        """How much of `data` the socket took."""
        sent = 0
        try:
            while sent < len(data):
                piece = data[sent : sent + self._piece] if sent or len(data) > self._piece else data
                taken = int(self._sock.send(piece))
                sent += taken
                if taken < len(piece):
                    break
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            pass
        except OSError:
            # The reading thread finds the connection ended, and says why.
            self._closed = True
            self.abort()
            return 0
        if sent:
            self.last_sent = monotonic()
        return sent

    def _raw(self) -> socket.socket:
        # paho wraps the socket of a web socket.
        return cast("socket.socket", getattr(self._sock, "_socket", self._sock))


def _make_prompt(sock: socket.socket) -> socket.socket | None:
    """Send small packets at once, and say whether what comes can be acknowledged at once as well.

    A broker that leaves Nagle's algorithm on (Mosquitto, unless told) holds a small packet back until the one before is
    acknowledged, which Linux puts off for up to 40 ms: at 50 messages a second each would wait for the next. The kernel
    forgets the setting, so it is made anew after each read.
    """
    if sock.family not in {socket.AF_INET, socket.AF_INET6}:
        return None
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock if hasattr(socket, "TCP_QUICKACK") else None


def joined(pieces: Sequence[bytes]) -> list[bytes]:
    """The same bytes in few pieces, none of them copied that is large already."""
    total = sum(map(len, pieces))
    if total <= JOIN_BYTES:
        return [b"".join(pieces)]
    out: list[bytes] = []
    small: list[bytes] = []
    size = 0
    for piece in pieces:
        if len(piece) >= JOIN_BYTES or size + len(piece) > JOIN_BYTES:
            out.append(b"".join(small))
            small, size = [], 0
        if len(piece) >= JOIN_BYTES:
            out.append(piece)
        else:
            small.append(piece)
            size += len(piece)
    out.append(b"".join(small))
    return [data for data in out if data]
