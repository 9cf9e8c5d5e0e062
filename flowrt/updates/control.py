"""The local control socket: what `flowrt apply`, `status`, `rollback` say to a running runtime.

A socket in the state folder that only the runtime's user (and root) can open. A connection carries one request, a line
of JSON, and is answered by lines of JSON; the last one has `done`.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from flowrt.errors import StartError

REQUEST_BYTES_MAX = 8 * 2**20
"""A graph file of the largest size, as JSON."""
CLIENTS_MAX = 16
PATIENCE_SECONDS = 10.0
"""How long a client may take to say what it wants."""

Answer = Callable[[Mapping[str, Any]], Iterator[Mapping[str, Any]]]
"""From a request to its answers."""


def socket_path(state: Path) -> Path:
    """Where a runtime with this state folder listens."""
    return state / "control.sock"


class Control:
    """Listens until closed, a thread a client."""

    def __init__(self, state: Path, answer: Answer) -> None:
        """Raises OSError where there can be no socket: then there is no control, and everything else goes on."""
        self._path = socket_path(state)
        self._answer = answer
        self._clients = threading.BoundedSemaphore(CLIENTS_MAX)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._listener = _listener(self._path)
        self._thread = threading.Thread(target=self._listen, name="flowrt/control", daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(1.0)
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._clients.acquire(blocking=False):
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client,), name="flowrt/control/client", daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, contextlib.suppress(OSError):
                client.settimeout(PATIENCE_SECONDS)
                if _uid(client) not in (0, os.geteuid()):
                    return
                for answer in self._answers(client):
                    client.sendall(json.dumps(answer).encode() + b"\n")
        finally:
            self._clients.release()

    def _answers(self, client: socket.socket) -> Iterator[Mapping[str, Any]]:
        try:
            request = json.loads(_line(client))
        except (ValueError, RecursionError) as error:
            yield {"error": f"that is no request: {error}", "done": True}
            return
        if not isinstance(request, dict):
            yield {"error": "a request is an object", "done": True}
            return
        client.settimeout(None)
        yield from self._answer(request)


def ask(state: Path, request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What a running runtime answers. Raises `StartError` when none listens there."""
    path = socket_path(state)
    with socket.socket(socket.AF_UNIX) as client:
        try:
            with _near(path) as address:
                client.connect(address)
        except PermissionError:
            raise StartError(f"{path} is another user's; ask as root or as the service's user") from None
        except OSError:
            words = f"no runtime listens at {path}; give the --state that `flowrt run` has"
            raise StartError(words) from None
        client.sendall(json.dumps(request).encode() + b"\n")
        with client.makefile("rb") as lines:
            for line in lines:
                yield json.loads(line)


def _listener(path: Path) -> socket.socket:
    """Takes the place of a socket nobody listens at. Raises OSError when somebody does."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        with _near(path) as address:
            with socket.socket(socket.AF_UNIX) as probe:
                taken = path.is_socket() and probe.connect_ex(address) == 0
            if taken:
                raise OSError(errno.EADDRINUSE, f"another runtime listens at {path}")  # noqa: TRY301
            with contextlib.suppress(FileNotFoundError):
                path.unlink()
            before = os.umask(0o177)
            try:
                listener.bind(address)
            finally:
                os.umask(before)
        listener.listen(CLIENTS_MAX)
    except BaseException:
        listener.close()
        raise
    return listener


@contextlib.contextmanager
def _near(path: Path) -> Iterator[str]:
    """An address for a socket whatever the length of its path: the kernel takes 107 bytes."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def _uid(client: socket.socket) -> int:
    _, uid, _ = struct.unpack("3i", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i")))
    return int(uid)


def _line(client: socket.socket) -> bytes:
    """Up to the first line break. Raises ValueError for what is too long."""
    found = bytearray()
    while not found.endswith(b"\n"):
        part = client.recv(65536)
        if not part:
            break
        found += part
        if len(found) > REQUEST_BYTES_MAX:
            raise ValueError(f"more than {REQUEST_BYTES_MAX} bytes")
    return bytes(found)
