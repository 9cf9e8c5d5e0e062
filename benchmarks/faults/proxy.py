"""A small TCP proxy of ours between a client and the broker: the cable that can be cut, go silent, or get slow."""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from time import monotonic, sleep

HOST = "127.0.0.1"
READ_BYTES = 65536
TICK_SECONDS = 0.02
BACKLOG_BYTES = 2**18
"""Read and not yet passed on; then the other side is left to wait, as a full socket would."""
_RESET = struct.pack("ii", 1, 0)
SERVER_UNAVAILABLE = b"\x20\x03\x00\x88\x00"
"""CONNACK of MQTT 5, reason 0x88 (MQTT 5, 3.2.2.2)."""


class _Side:
    """One socket of a pair: what was read from it waits in the other's `out`."""

    def __init__(self, sock: socket.socket, *, client: bool) -> None:
        self.sock = sock
        self.client = client
        self.other: _Side | None = None
        self.out = bytearray()
        self.ended = False
        """Whether it says nothing more."""


class Proxy:
    """Forwards `port` to `target` on a thread of its own. The switches may be turned from any thread."""

    def __init__(self, target: int, hears: Callable[[bytes], None] | None = None) -> None:
        """`hears` is told what the broker says, piece by piece, as it is passed on."""
        self._target = target
        self._hears = hears
        self._listener = socket.create_server((HOST, 0), backlog=64)
        self._listener.setblocking(False)
        self.port = int(self._listener.getsockname()[1])
        self.connections = 0
        """Connections taken so far."""
        self._lock = threading.Lock()
        self._pairs: list[tuple[_Side, _Side]] = []
        self._down = self._silent = self._refusing = False
        self._upstream_rate: float | None = None
        self._allowance = 0.0
        self._refilled = monotonic()
        self._objects: Callable[[bytes], bool] | None = None
        self._ended = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._thread.start()

    # The switches.

    def cut(self) -> None:
        """Reset every connection, and every new one, until `restore`."""
        with self._lock:
            self._down = True
            self._drop_all()

    def silence(self) -> None:
        """Keep connections open and take new ones, but pass nothing on: a half-open link."""
        with self._lock:
            self._silent = True

    def refuse(self) -> None:
        """End connections, and answer each CONNECT as a broker does that is not available."""
        with self._lock:
            self._refusing = True
            self._drop_all()

    def throttle(self, bytes_per_second: float | None) -> None:
        """Pass on what the client sends at this rate; None: as it comes."""
        with self._lock:
            self._upstream_rate = bytes_per_second

    def object_to(self, objects: Callable[[bytes], bool] | None) -> None:
        """End a connection whose client sends bytes that are objected to, before the broker gets them."""
        with self._lock:
            self._objects = objects

    def restore(self) -> None:
        """A sound link again. What went silent stays lost: those connections are reset."""
        with self._lock:
            if self._silent:
                self._drop_all()
            self._down = self._silent = self._refusing = False

    def close(self) -> None:
        self._ended = True
        self._thread.join(5)
        with self._lock:
            self._drop_all()
        self._listener.close()
        self._selector.close()

    # The thread.

    def _run(self) -> None:
        while not self._ended:
            moved = True
            for key, _ in self._selector.select(TICK_SECONDS):
                with self._lock:
                    if key.fileobj is self._listener:
                        self._accept()
                    elif key.data is not None:
                        moved = self._read(key.data) and moved
            with self._lock:
                self._pass_on()
            if not moved:  # silent, or the other side is slow: what waits makes no noise of its own
                sleep(TICK_SECONDS)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            self.connections += 1
            if self._down:
                _reset(client)
                return
            try:
                upstream = socket.create_connection((HOST, self._target), timeout=1)
            except OSError:
                if not self._refusing:
                    _reset(client)
                    return
                upstream, _unused = socket.socketpair()
                _unused.close()
            self._join(client, upstream)

    def _join(self, client: socket.socket, upstream: socket.socket) -> None:
        pair = _Side(client, client=True), _Side(upstream, client=False)
        pair[0].other, pair[1].other = pair[1], pair[0]
        for side in pair:
            side.sock.setblocking(False)
            with contextlib.suppress(OSError):
                side.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._selector.register(side.sock, selectors.EVENT_READ, side)
        self._pairs.append(pair)

    def _read(self, side: _Side) -> bool:
        """Take what has come; False when it is left where it is."""
        if side.other is None:
            return True
        if self._silent or len(side.other.out) > BACKLOG_BYTES:
            return False
        try:
            data = side.sock.recv(READ_BYTES)
        except BlockingIOError:
            return True
        except OSError:
            self._drop(side)
            return True
        if side.client and data and self._refusing:
            side.sock.setblocking(True)
            with contextlib.suppress(OSError):
                side.sock.sendall(SERVER_UNAVAILABLE)
            self._drop(side)
            return True
        if side.client and self._objects is not None and self._objects(data):
            self._drop(side)
        elif not data:
            self._half_close(side)
        if not data or side.other is None:
            return True
        if not side.client and self._hears is not None:
            self._hears(data)
        side.other.out += data
        self._send(side.other)
        return True

    def _pass_on(self) -> None:
        if self._silent:
            return
        for pair in list(self._pairs):
            for side in pair:
                if side.out:
                    self._send(side)

    def _send(self, side: _Side) -> None:
        size = len(side.out)
        if not side.client and self._upstream_rate is not None:
            now = monotonic()
            self._allowance = min(
                self._allowance + (now - self._refilled) * self._upstream_rate, self._upstream_rate / 10
            )
            self._refilled = now
            size = min(size, int(self._allowance))
            self._allowance -= size
        if not size:
            return
        try:
            sent = side.sock.send(side.out[:size])
            del side.out[:sent]
            self._pass_end_on(side)
        except BlockingIOError:
            return
        except OSError:
            self._drop(side)

    def _half_close(self, side: _Side) -> None:
        """One end says nothing more; the other is told so once it has all, and may still answer."""
        self._selector.unregister(side.sock)
        side.ended = True
        assert side.other is not None
        self._pass_end_on(side.other)

    def _pass_end_on(self, side: _Side) -> None:
        if side.other is None or side.out or not side.other.ended:
            return
        with contextlib.suppress(OSError):
            side.sock.shutdown(socket.SHUT_WR)
        if side.ended:
            self._drop(side)

    def _drop(self, side: _Side) -> None:
        for pair in self._pairs:
            if side in pair:
                self._pairs.remove(pair)
                for one in pair:
                    self._forget(one)
                    one.sock.close()
                return

    def _drop_all(self) -> None:
        for pair in self._pairs:
            for side in pair:
                self._forget(side)
                _reset(side.sock)
        self._pairs.clear()

    def _forget(self, side: _Side) -> None:
        side.other = None
        if not side.ended:
            self._selector.unregister(side.sock)


def _reset(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    sock.close()
