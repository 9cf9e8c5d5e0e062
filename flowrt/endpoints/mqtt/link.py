"""One connection to a broker, from CONNECT to its end. paho speaks; messages pass it by (`transport.py`).

Everything here but `Link.write` and `Link.abort` is called by one thread.
"""

from __future__ import annotations

import select
import ssl
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from time import monotonic
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import MQTTException, Properties  # type: ignore[attr-defined]
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from flowrt.endpoints.mqtt.config import Credentials, MqttOptions, Proxy, Tls
from flowrt.endpoints.mqtt.envelope import Malformed
from flowrt.endpoints.mqtt.scan import Item, KnownHeads, Scanner
from flowrt.endpoints.mqtt.silence import Silence
from flowrt.endpoints.mqtt.transport import Transport
from flowrt.endpoints.secrets import secret
from flowrt.values import Struct

NEVER_EXPIRES = 0xFFFF_FFFF
_UNSUPPORTED_VERSION = {0x84, 0x01}
_PINGREQ = b"\xc0\x00"
_DISCONNECT = b"\xe0\x00"
_KEEP_ALIVE_SHARE = 0.75
"""A ping leaves after this share of the keep-alive interval without traffic."""


class ConnectFailed(Exception):
    """A try to connect came to nothing."""

    def __init__(self, reason: str, *, refused: bool = False, version: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.refused = refused
        """The broker understood and said no: trying again soon will not help."""
        self.version = version
        """The broker may not speak this version."""


class Limits(Struct, frozen=True):
    """What the broker said it takes, in CONNACK."""

    receive_maximum: int = 65535
    maximum_packet: int = 268_435_460
    maximum_qos: int = 2
    retain: bool = True
    keep_alive: int = 60


class Subscribed(Struct, frozen=True):
    """The answer to one filter of a SUBSCRIBE."""

    filter: str
    granted: int
    """Quality of service, or a reason of 0x80 and above."""
    reason: str


class _Client(paho.Client):
    """paho, with our transport in the place of its socket."""

    def wrap_socket(self, wrap: Callable[[Any], Transport]) -> None:
        self._wrap = wrap

    def _create_socket(self) -> Any:
        return self._wrap(super()._create_socket())


class Link:
    """A connection. `wake` is called, from any thread, when the reading thread should look after it."""

    def __init__(
        self,
        options: MqttOptions,
        client_id: str,
        *,
        five: bool,
        clean: bool,
        will: bool,
        wake: Callable[[], None],
        heads: KnownHeads | None = None,
    ) -> None:
        self.five = five
        self.session_present = False
        self.limits = Limits()
        self.end_reason: tuple[int, str] | None = None
        """Why the broker said it ends the connection: reason code and words."""
        self._options = options
        self._clean = clean
        self._asked: dict[int, Sequence[str]] = {}
        self._answers: list[Subscribed] = []
        self._connack: tuple[int, str] | None = None
        self._early: list[Item] = []
        self._last_ping = float("-inf")
        self._silence = Silence(options.answer_timeout)
        scanner = Scanner(five=five, maximum_packet=options.maximum_packet, heads=heads)
        self._client = self._make_client(client_id)
        self._transport: Transport | None = None
        self._client.wrap_socket(lambda sock: self._wrap(sock, scanner, wake))
        if will and options.will is not None:
            message = options.will
            self._client.will_set(message.topic, message.payload.encode(), message.qos, message.retain)

    def connect(self, cancelled: threading.Event) -> None:
        """Connect and wait for the broker's word. Raises `ConnectFailed`."""
        options = self._options
        try:
            _authenticate(self._client, options.credentials)
            if options.tls is not None:
                self._client.tls_set_context(_tls_context(options.tls))
                self._client.tls_insecure_set(options.tls.insecure)
            keep_alive = int(options.keep_alive)
            if self.five:
                properties = _connect_properties(options)
                self._client.connect_async(
                    options.host, options.port_number, keep_alive, clean_start=self._clean, properties=properties
                )
            else:
                self._client.connect_async(options.host, options.port_number, keep_alive)
            self._client.reconnect()
        except (OSError, ValueError, MQTTException, paho.WebsocketConnectionError) as error:
            self.close()
            raise ConnectFailed(_words(error)) from None
        self._await_connack(monotonic() + options.connect_timeout, cancelled)

    @property
    def transport(self) -> Transport:
        sock = self._client.socket()
        if not isinstance(sock, Transport):
            raise ConnectionError("the connection has ended")
        return sock

    def read_early(self) -> list[Item]:
        """What came right behind CONNACK."""
        items, self._early = self._early, []
        return items

    def read(self) -> list[Item]:
        """What has come. Raises OSError or `Malformed` when the connection has ended."""
        items = self.transport.read()
        self._let_paho_read()
        if self._client.socket() is None:
            raise ConnectionError(self.end_reason[1] if self.end_reason else "the broker ended the connection")
        return items

    def subscribe(self, filters: Mapping[str, tuple[int, int]]) -> None:
        """Ask for topic filters: for each its quality of service and retain handling (MQTT 5, 3.8.3.1)."""
        if self.five:
            asked: list[Any] = [
                (name, SubscribeOptions(qos=qos, retainHandling=handling)) for name, (qos, handling) in filters.items()
            ]
        else:
            asked = [(name, qos) for name, (qos, _) in filters.items()]
        result, packet_id = self._client.subscribe(asked)
        if result == paho.MQTT_ERR_SUCCESS and packet_id is not None:
            self._asked[packet_id] = tuple(filters)

    def unsubscribe(self, filters: Sequence[str]) -> None:
        """Give filters up that an earlier run of the graph had."""
        self._client.unsubscribe(list(filters))

    def answers(self) -> list[Subscribed]:
        """Answers to `subscribe` that came since the last call."""
        answers, self._answers = self._answers, []
        return answers

    def write(self, pieces: Sequence[bytes]) -> int:
        """Send, from any thread. Compare with `handed`; 0 when the connection has ended."""
        sock = self._client.socket()
        return sock.write(pieces) if isinstance(sock, Transport) else 0

    def handed(self) -> int:
        """Bytes the kernel has taken, of those that were written."""
        return self._transport.handed if self._transport is not None else 0

    def backlog(self) -> int:
        """Bytes written that the kernel has not taken yet."""
        return self._transport.waiting if self._transport is not None else 0

    def keep_alive(self, now: float) -> None:
        """Send a ping if it is time, from any thread."""
        sock = self._client.socket()
        pause = self.limits.keep_alive * _KEEP_ALIVE_SHARE
        if not isinstance(sock, Transport) or not pause or now - self._last_ping < pause:
            return
        if now - sock.last_sent >= pause or now - sock.last_received >= pause:
            self._ping(sock, now)

    def expect(self, now: float) -> None:
        """The broker owes an answer: ask for one, if it has said nothing for a while."""
        sock = self.transport
        if self._silence.due(now, sock.last_received):
            self._ping(sock, now)

    def _ping(self, sock: Transport, now: float) -> None:
        self._last_ping = now
        end = sock.write([_PINGREQ])
        with suppress(OSError):  # it has ended, and the reading thread is about to say so
            self._silence.asked(now, end, sock.arrived())

    def is_dead(self, now: float) -> bool:
        """Whether the broker has been silent for longer than a living one can be. For when nothing is readable."""
        limit, sock = self.limits.keep_alive * 1.5, self.transport
        if limit and now - sock.last_received > limit + self._options.connect_timeout:
            return True
        return self._silence.pending(sock.last_received) and self._silence.broken(now, sock.arrived())

    def disconnect(self, until: float) -> None:
        """Say goodbye, and wait for the broker to end the connection, at most until that moment."""
        transport = self.transport
        transport.write([_DISCONNECT])  # paho would close the socket at once
        transport.end(until)

    def abort(self) -> None:
        """End at once, from any thread."""
        sock = self._client.socket()
        if isinstance(sock, Transport):
            sock.abort()

    def close(self) -> None:
        """Give the socket back."""
        sock = self._client.socket()
        if sock is not None:
            sock.close()

    def _wrap(self, sock: Any, scanner: Scanner, wake: Callable[[], None]) -> Transport:
        self._transport = Transport(sock, scanner, wake)
        return self._transport

    def _make_client(self, client_id: str) -> _Client:
        options = self._options
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if self.five else self._clean,
            protocol=MQTTProtocolVersion.MQTTv5 if self.five else MQTTProtocolVersion.MQTTv311,
            transport=options.transport,
            reconnect_on_failure=False,
        )
        client.connect_timeout = options.connect_timeout
        if options.transport == "websockets":
            client.ws_set_options(options.path)
        if options.proxy is not None:
            client.proxy_set(**_proxy(options.proxy))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        return client

    def _await_connack(self, until: float, cancelled: threading.Event) -> None:
        poller = select.poll()
        try:
            poller.register(self.transport.fileno(), select.POLLIN)
            while self._connack is None:
                _check_patience(until, cancelled)
                if self.transport.waiting:
                    self.transport.flush()
                if self.transport.buffered() or poller.poll(100):
                    self._early += self.transport.read()
                    self._let_paho_read()
        except (OSError, Malformed) as error:
            self.close()
            if self._connack is None:
                raise ConnectFailed(f"the broker did not answer CONNECT: {_words(error)}", version=True) from None
        except ConnectFailed:
            self.close()
            raise
        code, words = self._connack or (0, "")
        if code:
            self.close()
            raise ConnectFailed(words, refused=True, version=code in _UNSUPPORTED_VERSION)

    def _let_paho_read(self) -> None:
        while (sock := self._client.socket()) is not None and isinstance(sock, Transport) and sock.pending():
            self._client.loop_read()

    def _on_connect(self, _: Any, __: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        # paho shows a refusal by 3.1.1 as the reason MQTT 5 has for it.
        self._connack = (reason.value if reason.is_failure else 0, str(reason))
        self.session_present = bool(flags.session_present)
        self.limits = Limits(
            getattr(properties, "ReceiveMaximum", 65535),
            getattr(properties, "MaximumPacketSize", 268_435_460),
            getattr(properties, "MaximumQoS", 2),
            bool(getattr(properties, "RetainAvailable", 1)),
            getattr(properties, "ServerKeepAlive", int(self._options.keep_alive)),
        )

    def _on_disconnect(self, _: Any, __: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            detail = getattr(properties, "ReasonString", "")
            self.end_reason = (reason.value, f"{reason}: {detail}" if detail else str(reason))

    def _on_subscribe(self, _: Any, __: Any, packet_id: int, reasons: Sequence[ReasonCode], ___: Any) -> None:
        asked = self._asked.pop(packet_id, ())
        for name, reason in zip(asked, reasons, strict=False):
            self._answers.append(Subscribed(name, reason.value, str(reason)))


def _check_patience(until: float, cancelled: threading.Event) -> None:
    if cancelled.is_set():
        raise ConnectFailed("stopped")
    if monotonic() > until:
        raise ConnectFailed("the broker did not answer CONNECT", version=True)


def _connect_properties(options: MqttOptions) -> Properties:
    properties: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call] # checks attributes as they are set
    properties.SessionExpiryInterval = int(options.session_expiry)
    properties.ReceiveMaximum = options.receive_maximum
    properties.MaximumPacketSize = options.maximum_packet
    return properties  # type: ignore[no-any-return]


def _authenticate(client: _Client, credentials: Credentials | None) -> None:
    """Secrets are read at each connect, so that a changed file is a changed password."""
    if credentials is None:
        return
    username = credentials.username
    if username is None:
        username = secret(credentials.username_file, credentials.username_credential)
    client.username_pw_set(username, secret(credentials.password_file, credentials.password_credential))


def _tls_context(tls: Tls) -> ssl.SSLContext:
    """Raises ValueError naming the files, which the ssl module's own errors do not."""
    try:
        context = ssl.create_default_context(cafile=str(tls.ca) if tls.ca is not None else None)
    except (OSError, ssl.SSLError) as error:
        raise ValueError(f"tls.ca {tls.ca}: {_words(error)}") from None
    if tls.cert is not None:
        password = secret(tls.key_password_file, None)
        try:
            context.load_cert_chain(tls.cert, tls.key, password or "")
        except (OSError, ssl.SSLError) as error:
            raise ValueError(f"tls.cert {tls.cert}, tls.key {tls.key or tls.cert}: {_words(error)}") from None
    return context


def _proxy(proxy: Proxy) -> dict[str, Any]:
    try:
        import socks  # type: ignore[import-not-found,import-untyped,unused-ignore] # PySocks, which few need
    except ImportError:
        raise ConnectFailed("a proxy needs the package PySocks: pip install pysocks") from None
    kinds = {"http": socks.HTTP, "socks4": socks.SOCKS4, "socks5": socks.SOCKS5}
    return {"proxy_type": kinds[proxy.type], "proxy_addr": proxy.host, "proxy_port": proxy.port}


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__
