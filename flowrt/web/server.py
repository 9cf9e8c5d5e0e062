"""A small web server for people and programs on the gateway: GET and HEAD, one request a connection.

The standard library's, with what it lacks against clients that are slow, greedy or many: a deadline for the whole
request, a bound on its size, a bound on connections, no look-ups of names, no lines in the log.
"""

from __future__ import annotations

import io
import logging
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

from flowrt.errors import StartError
from flowrt.values import Struct
from flowrt.web.address import Address

REQUEST_SECONDS = 5.0
"""For a whole request to arrive, and for an answer to leave."""
REQUEST_BYTES = 16384
"""For a request line with its headers: several times what a browser sends."""
CONNECTIONS = 16
"""At once; the oldest makes room for the next. A handful of scrapers and people need fewer."""

TEXT = "text/plain; charset=utf-8"

log = logging.getLogger(__name__)


class Response(Struct, frozen=True):
    """An answer."""

    body: bytes
    content_type: str = TEXT
    status: HTTPStatus = HTTPStatus.OK


Route = Callable[[Mapping[str, str]], Response]
"""Takes the request's headers, names in lower case. Called by any thread."""


class WebServer:
    """Listens from the moment it is made; answers from `start` to `stop`."""

    def __init__(self, address: Address, routes: Mapping[str, Route]) -> None:
        """Raises `StartError` when the address cannot be had."""
        self._server = _Listener(address, routes)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.1,), name="web", daemon=True)
        host, port = self._server.server_address[:2]
        self.address = Address(str(host), int(port))
        """Where it really listens: with the port that the system picked."""

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Safe to call twice, and before `start`."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
        self._server.server_close()


class _Listener(ThreadingMixIn, TCPServer):
    allow_reuse_address = True
    request_queue_size = 4 * CONNECTIONS
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: Address, routes: Mapping[str, Route]) -> None:
        self.routes = routes
        self.address_family, numeric = address.resolve()
        self._open: dict[socket.socket, None] = {}
        """Connections, the oldest first."""
        self._lock = threading.Lock()
        try:
            super().__init__(numeric, _Handler)
        except OSError as error:
            raise StartError(f"cannot listen on {address}: {error.strerror}") from error

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            while len(self._open) >= CONNECTIONS:
                oldest = next(iter(self._open))
                del self._open[oldest]
                _hang_up(oldest)
            self._open[request] = None
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def server_close(self) -> None:
        super().server_close()
        with self._lock:
            for request in self._open:
                _hang_up(request)

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no event; a fault of ours is."""
        if not isinstance(sys.exception(), OSError):
            log.exception("the web server could not answer")


class _Handler(BaseHTTPRequestHandler):
    server: _Listener
    server_version = "flowrt"
    sys_version = ""
    error_content_type = TEXT
    error_message_format = "%(code)d %(message)s\n"

    def setup(self) -> None:
        super().setup()
        self.rfile = io.BufferedReader(_Patience(self.connection))

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        route = self.server.routes.get(path)
        if route is None:
            known = ", ".join(self.server.routes)
            self._answer(Response(f"not found; there is {known}\n".encode(), status=HTTPStatus.NOT_FOUND))
        else:
            self._answer(route({name.lower(): value for name, value in self.headers.items()}))

    do_HEAD = do_GET  # noqa: N815

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Other methods are known and not allowed, rather than unknown."""
        if code == HTTPStatus.NOT_IMPLEMENTED:
            code, message = HTTPStatus.METHOD_NOT_ALLOWED, "only GET and HEAD"
        super().send_error(code, message, explain)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the standard library's name
        """Scrapes are no events."""

    def _answer(self, response: Response) -> None:
        self.connection.settimeout(REQUEST_SECONDS)
        self.send_response(response.status)
        self.send_header("Content-Type", response.content_type)
        self.send_header("Content-Length", str(len(response.body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(response.body)


class _Patience(io.RawIOBase):
    """What a client sends, up to a deadline and a size; then the end of the stream."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._until = monotonic() + REQUEST_SECONDS
        self._left = REQUEST_BYTES

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        seconds = self._until - monotonic()
        if seconds <= 0 or not self._left:
            return 0
        self._connection.settimeout(seconds)
        try:
            count = self._connection.recv_into(memoryview(buffer)[: self._left])
        except OSError:
            return 0
        self._left -= count
        return count


def _hang_up(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return
