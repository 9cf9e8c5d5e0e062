"""What both of an endpoint's connections do, each on its thread: connect, serve the link, connect again, for ever."""

from __future__ import annotations

import contextlib
import os
import random
import select
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from time import monotonic

from flowrt.endpoints.base import EndpointCounters
from flowrt.endpoints.mqtt.config import Announcement, MqttOptions
from flowrt.endpoints.mqtt.envelope import Malformed, write_3, write_5
from flowrt.endpoints.mqtt.frames import Envelope, encode_0, encode_acked, reply
from flowrt.endpoints.mqtt.gather import gather
from flowrt.endpoints.mqtt.link import ConnectFailed, Link
from flowrt.endpoints.mqtt.scan import PUBREC, PUBREL, Item, KnownHeads, Reply
from flowrt.events import Emit, EndpointConnected, EndpointLost, EndpointRefused
from flowrt.message import Head
from flowrt.quota.backoff import Backoff

ANNOUNCEMENT_ID = 65535
"""Packet identifier of birth messages. paho counts its own from 1, sinks theirs from 1024."""
REFUSED_PAUSE = 10.0
"""Seconds at least before another try once a broker said no: a wrong password is not put right in a second."""
SHORT_LIVED = 3.0
"""A connection that the broker ends within as many seconds was perhaps taken over by another client."""
TAKEOVERS = 3
"""So many in a row are told to the user."""
FLUSH_SECONDS = 2.0
"""What a disconnect waits for acknowledgements that a slow socket has not taken yet, and for the broker's end."""
UNANSWERED = 2
"""So many unanswered CONNECT packets of MQTT 5 in a row, and a broker that is not known yet is spoken to in 3.1.1."""
SESSION_TAKEN_OVER = 0x8E
_POLL_MS = 1000


class Connection(ABC):
    """A thread and its link. Subclasses say what happens to messages."""

    def __init__(self, endpoint: str, direction: str, options: MqttOptions, client_id: str, emit: Emit) -> None:
        self.endpoint = endpoint
        self.announces = False
        """Whether this connection carries the endpoint's will and birth messages."""
        self._direction = direction
        self._options = options
        self._client_id = client_id
        self._emit = emit
        self._closing = threading.Event()
        self._wake_fd = -1
        self._wake_lock = threading.Lock()
        self._five = options.version != "3.1.1"
        self._knows_five = False
        """Whether the broker has spoken MQTT 5 with us."""
        self._unanswered = 0
        """CONNECT packets of MQTT 5 in a row that were not answered."""
        self._first = True
        self._heads = KnownHeads()
        self._short_lived = 0
        longest = options.reconnect.max
        self._backoff = Backoff(options.reconnect.min, longest, free=0, calm=2 * longest + options.connect_timeout)
        self._thread = threading.Thread(target=self._run, name=f"flowrt/{endpoint}/{direction}", daemon=True)

    def start(self) -> None:
        """Begin connecting. Safe to call for each source or sink."""
        if self._thread.ident is None:
            self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
            self._thread.start()

    def close(self) -> None:
        """Disconnect and end the thread. Safe to call twice."""
        self._closing.set()
        self._wake()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(FLUSH_SECONDS + self._options.connect_timeout)

    @property
    def closing(self) -> bool:
        """Whether it has ended, or is about to: nothing more is opened on it."""
        return self._closing.is_set()

    def broken(self) -> bool:
        """Whether its thread has ended although nobody asked it to."""
        return self._thread.ident is not None and not self._thread.is_alive() and not self._closing.is_set()

    # What subclasses do.

    @abstractmethod
    def _counters(self) -> Sequence[EndpointCounters]:
        """Those of every operation on this connection."""

    @abstractmethod
    def _clean(self, *, first: bool, five: bool) -> bool:
        """Whether the broker should forget this client's session when it connects."""

    @abstractmethod
    def _opened(self, link: Link) -> None:
        """A link is up."""

    @abstractmethod
    def _take(self, link: Link, items: Sequence[Item]) -> None:
        """Packets came."""

    def _tick(self, link: Link, now: float) -> None:  # noqa: B027 - not every direction has something to do
        """Called about once a second, and after each read or write."""

    @abstractmethod
    def _lost(self) -> None:
        """The link is gone."""

    # The thread.

    def _run(self) -> None:
        while not self._closing.is_set():
            pause = self._one_connection()
            self._closing.wait(pause * random.uniform(2 / 3, 4 / 3))  # noqa: S311 - spreads clients, hides nothing
        with self._wake_lock:
            os.close(self._wake_fd)
            self._wake_fd = -1

    def _one_connection(self) -> float:
        """Connect and serve until it ends; the seconds to wait before the next try."""
        try:
            link = self._connect(five=self._five)
        except ConnectFailed as failure:
            if self._options.version == "auto" and self._should_change_version(failure):
                # The next try speaks the other version; which one a broker knows is learned anew each time.
                self._five = not self._five
                if not self._five:
                    return 0.0
            return self._failed(failure)
        started = monotonic()
        try:
            reason = self._serve(link)
        finally:
            for counters in self._counters():
                counters.connected = 0
            self._lost()
            link.close()
        self._five = self._options.version != "3.1.1"
        return 0.0 if self._closing.is_set() else self._ended(link, reason, monotonic() - started)

    def _should_change_version(self, failure: ConnectFailed) -> bool:
        """A link that breaks during CONNECT looks like a broker without MQTT 5: not after it has spoken it, and not
        at once. MQTT 3.1.1 costs the sinks' session and all properties."""
        if not failure.version or failure.refused or not self._five:
            return failure.version
        self._unanswered += 1
        return not self._knows_five and self._unanswered >= UNANSWERED

    def _connect(self, *, five: bool) -> Link:
        link = Link(
            self._options,
            self._client_id,
            five=five,
            clean=self._clean(first=self._first, five=five),
            will=self.announces,
            wake=self._wake,
            heads=self._heads,
        )
        link.connect(self._closing)
        self._first = False
        self._unanswered = 0
        self._knows_five = self._knows_five or five
        for counters in self._counters():
            counters.connected = 1
            counters.connects += 1
        detail = f"MQTT {'5' if five else '3.1.1'}, {self._direction}, client id '{self._client_id}'"
        self._emit(EndpointConnected(self.endpoint, self._options.address, detail))
        return link

    def _serve(self, link: Link) -> str:
        """Look after a link until it ends; the reason."""
        try:
            self._opened(link)
            if self.announces and self._options.birth is not None:
                self._announce(link, self._options.birth)
            self._loop(link)
            self._say_goodbye(link)
        except (OSError, Malformed) as error:
            if isinstance(error, Malformed):
                for counters in self._counters()[:1]:
                    counters.drop("malformed")
            return link.end_reason[1] if link.end_reason else str(error) or type(error).__name__
        return "closed"

    def _loop(self, link: Link) -> None:
        transport = link.transport
        poller = select.poll()
        poller.register(self._wake_fd, select.POLLIN)
        poller.register(transport, select.POLLIN)
        socket_fd, writing = transport.fileno(), False
        self._take(link, link.read_early())
        while not self._closing.is_set():
            if writing != bool(transport.waiting):
                writing = not writing
                poller.modify(socket_fd, select.POLLIN | (select.POLLOUT if writing else 0))
            readable = transport.buffered()
            for fd, mask in poller.poll(0 if readable else _POLL_MS):
                if fd != socket_fd:
                    self._drain_wake()
                else:
                    readable = readable or bool(mask & ~select.POLLOUT)
                    if mask & select.POLLOUT:
                        transport.flush()
            if readable:
                gather(transport)
                self._take(link, link.read())
            now = monotonic()
            if not readable and link.is_dead(now):
                for counters in self._counters():
                    counters.silent += 1
                raise ConnectionError("the broker is silent")
            link.keep_alive(now)
            self._tick(link, now)

    def _say_goodbye(self, link: Link) -> None:
        if self.announces and self._options.will is not None:
            # The broker keeps the will back from a client that says goodbye; who reads it wants to know all the same.
            self._announce(link, self._options.will)
        until = monotonic() + FLUSH_SECONDS
        poller = select.poll()
        poller.register(link.transport, select.POLLOUT)
        while link.transport.waiting and (left := until - monotonic()) > 0:
            if poller.poll(left * 1000):
                link.transport.flush()
        link.disconnect(until)

    def _announce(self, link: Link, message: Announcement) -> None:
        qos = min(message.qos, link.limits.maximum_qos)
        head = Head(message.topic)
        topic, properties = write_5(message.topic, head, None) if link.five else write_3(message.topic)
        envelope = Envelope(topic, properties, qos=qos, retain=message.retain and link.limits.retain)
        payloads = [message.payload.encode()]
        ids = range(ANNOUNCEMENT_ID, ANNOUNCEMENT_ID + 1)
        link.write(encode_acked(envelope, payloads, ids) if qos else encode_0(envelope, payloads))

    def _answer_announcement(self, link: Link, item: Reply) -> None:
        if item.kind == PUBREC and item.id == ANNOUNCEMENT_ID and item.reason < 0x80:
            link.write([reply(PUBREL, item.id)])

    def _failed(self, failure: ConnectFailed) -> float:
        pause = self._backoff.next(monotonic())
        if failure.refused:
            pause = max(pause, min(REFUSED_PAUSE, self._options.reconnect.max))
            self._emit(EndpointRefused(self.endpoint, self._options.address, failure.reason))
        if not self._closing.is_set():
            self._emit(EndpointLost(self.endpoint, self._options.address, failure.reason, pause))
        return pause

    def _ended(self, link: Link, reason: str, lasted: float) -> float:
        pause = self._backoff.next(monotonic())
        self._short_lived = self._short_lived + 1 if lasted < SHORT_LIVED and link.end_reason is None else 0
        taken_over = link.end_reason is not None and link.end_reason[0] == SESSION_TAKEN_OVER
        if taken_over or self._short_lived >= TAKEOVERS:
            words = f"another client uses the client id '{self._client_id}'; give each its own `clientId` ({reason})"
            if not taken_over:
                words = (
                    f"{TAKEOVERS} connections in a row ended within {SHORT_LIVED:g} s ({reason}): another client may "
                    f"use the client id '{self._client_id}', the broker may end connections over a message, or the "
                    "link breaks"
                )
            self._emit(EndpointRefused(self.endpoint, self._options.address, words))
            pause = max(pause, min(REFUSED_PAUSE, self._options.reconnect.max))
        self._emit(EndpointLost(self.endpoint, self._options.address, reason, pause))
        return pause

    def _wake(self) -> None:
        with self._wake_lock:
            if self._wake_fd >= 0:
                os.eventfd_write(self._wake_fd, 1)

    def _drain_wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self._wake_fd)
