"""An MQTT broker inside the process, for demos and first steps: amqtt on a thread with an event loop of its own.

It speaks MQTT 3.1.1, keeps nothing and is bound to loopback unless told otherwise. amqtt misreads an MQTT 5 CONNECT and
leaves its sender waiting; here such a client is told at once, with reason 0x84 (unsupported protocol version), so that
one that can steps down to 3.1.1.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from flowrt.errors import MissingExtra, StartError

_REFUSE_V5 = bytes((0x20, 3, 0, 0x84, 0))
"""CONNACK of MQTT 5: no session, unsupported protocol version, no properties (MQTT 5.0, 3.2)."""
_CONNECT, _LEVEL_5 = 0x10, 5
_CONNECT_WITHIN_S = 10.0
_START_WITHIN_S = 10.0


class EmbeddedBroker:
    """A broker that runs from `__enter__` to `__exit__`. `host` and `port` are then where it listens."""

    def __init__(self, address: str = "127.0.0.1:0") -> None:
        """`address` is HOST:PORT; port 0 takes a free one. Raises ValueError when it is not of that form."""
        host, colon, port = address.rpartition(":")
        if not colon or not port.isdecimal() or int(port) > 65535:
            raise ValueError(f"'{address}' is not an address; write HOST:PORT, as in 127.0.0.1:1883")
        self.host, self.port = host.strip("[]") or "127.0.0.1", int(port)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="embedded-broker", daemon=True)

    def __enter__(self) -> Self:
        """Raises MissingExtra without amqtt, StartError when the address cannot be bound."""
        self._thread.start()
        if not self._started.wait(_START_WITHIN_S):
            raise StartError(f"the embedded broker did not start within {_START_WITHIN_S:g} s")
        if isinstance(self._failure, ImportError):
            raise MissingExtra("the embedded broker", "demo") from self._failure
        if self._failure is not None:
            raise StartError(f"embedded broker at {self.host}:{self.port}: {self._failure}") from self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def address(self) -> str:
        return f"{self.host}:{self.port}"

    def close(self) -> None:
        """Disconnect everyone and stop. Safe to call twice."""
        if self._loop is not None and self._stop is not None:
            with suppress(RuntimeError):  # the loop has ended already
                self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread.ident is not None:
            self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except (ImportError, OSError) as failure:
            self._failure = failure
        finally:
            self._started.set()

    async def _serve(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        loop.set_exception_handler(lambda _loop, _context: None)  # amqtt's tasks of clients that went away
        broker = _quiet_broker()
        await broker.start()
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = loop.create_task(_serve_client(broker, reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        try:
            server = await asyncio.start_server(accept, self.host, self.port)
            self.port = server.sockets[0].getsockname()[1]
            self._started.set()
            await self._stop.wait()
            server.close()
        finally:
            await broker.shutdown()
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


def _quiet_broker() -> Any:
    """A broker whose connections are handed to it, without log lines, packet logs and $SYS topics."""
    from amqtt.broker import Broker
    from amqtt.contexts import BrokerConfig, ListenerConfig, ListenerType

    for library in ("amqtt", "transitions"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    return Broker(
        BrokerConfig(
            listeners={"default": ListenerConfig(type=ListenerType.EXTERNAL)},
            plugins={"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        )
    )


async def _serve_client(broker: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Look at the CONNECT's protocol level, then let amqtt read it again from its first byte."""
    from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter

    try:
        head, level = await asyncio.wait_for(_protocol_level(reader), _CONNECT_WITHIN_S)
        if level >= _LEVEL_5:
            writer.write(_REFUSE_V5)
            await writer.drain()
            return
        await broker.external_connected(
            _Replay(head, StreamReaderAdapter(reader)), StreamWriterAdapter(writer), "default"
        )
    except (OSError, TimeoutError, asyncio.IncompleteReadError):
        return  # a peer that went away, or one that says nothing
    finally:
        writer.close()


async def _protocol_level(reader: asyncio.StreamReader) -> tuple[bytes, int]:
    """The first bytes of a connection and the protocol level in them; 0 for anything but a CONNECT."""
    head = await reader.readexactly(2)
    while head[-1] & 0x80 and len(head) < 5:
        head += await reader.readexactly(1)
    if head[0] != _CONNECT:
        return head, 0
    head += await reader.readexactly(2)
    head += await reader.readexactly(min(int.from_bytes(head[-2:], "big"), 6) + 1)
    return head, head[-1]


class _Replay:
    """amqtt's reader interface: first the bytes already read, then the connection's."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = head
        self._rest = rest
        self.feed_eof = rest.feed_eof

    async def read(self, n: int = -1) -> bytes:
        first, self._head = (self._head, b"") if n < 0 else (self._head[:n], self._head[n:])
        if n < 0 or len(first) < n:
            first += await self._rest.read(n if n < 0 else n - len(first))
        return first
