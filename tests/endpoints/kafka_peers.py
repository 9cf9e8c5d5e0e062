"""A Kafka cluster of several brokers that librdkafka brings along for tests, and a front before it that speaks TLS and
asks who is there.

The brokers speak the real protocol over TCP, with consumer groups that rebalance; they can be taken down and up one by
one. They know neither TLS nor SASL, so a front stands before each: it ends TLS, authenticates by PLAIN or SCRAM
(RFC 5802) as a broker does (Kafka's protocol, SaslHandshake and SaslAuthenticate), and puts its own port where a broker
names one.
"""

from __future__ import annotations

import base64
import ctypes
import hashlib
import hmac
import os
import select
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import confluent_kafka

API_VERSIONS, HANDSHAKE, AUTHENTICATE = 18, 17, 36
AUTHENTICATION_FAILED, UNSUPPORTED_MECHANISM = 58, 33
ROUNDS = 4096


def _library() -> ctypes.CDLL:
    """The library that confluent-kafka has loaded."""
    (path,) = (Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs").glob("librdkafka*")
    library = ctypes.CDLL(str(path))
    for name in ("rd_kafka_conf_new", "rd_kafka_new", "rd_kafka_mock_cluster_new"):
        getattr(library, name).restype = ctypes.c_void_p
    library.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
    return library


class Brokers:
    """A cluster, until `close`."""

    def __init__(self, count: int = 3) -> None:
        self._library = _library()
        conf = ctypes.c_void_p(self._library.rd_kafka_conf_new())
        error = ctypes.create_string_buffer(512)
        self._client = ctypes.c_void_p(self._library.rd_kafka_new(0, conf, error, ctypes.c_size_t(len(error))))
        self._cluster = ctypes.c_void_p(self._library.rd_kafka_mock_cluster_new(self._client, count))
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, 100)
        self.addresses = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster).decode().split(",")

    def topic(self, name: str, partitions: int) -> None:
        """Make one, with a copy of each partition at every broker."""
        copies = len(self.addresses)
        assert self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, copies) == 0

    def lead(self, topic: str, partition: int, broker: int) -> None:
        """Let a broker lead a partition. The first is 1."""
        self._library.rd_kafka_mock_partition_set_leader(self._cluster, topic.encode(), partition, broker)

    def coordinate(self, group: str, broker: int) -> None:
        self._library.rd_kafka_mock_coordinator_set(self._cluster, b"group", group.encode(), broker)

    def down(self, broker: int) -> None:
        self._library.rd_kafka_mock_broker_set_down(self._cluster, broker)

    def up(self, broker: int) -> None:
        self._library.rd_kafka_mock_broker_set_up(self._cluster, broker)

    def settings(self) -> dict[str, Any]:
        return {"bootstrap.servers": ",".join(self.addresses), "log_level": 0}

    def put(self, topic: str, partition: int, payloads: list[bytes]) -> None:
        producer = confluent_kafka.Producer(self.settings())
        for payload in payloads:
            producer.produce(topic, payload, partition=partition)
        assert producer.flush(10) == 0

    def read(self, topic: str, partition: int) -> list[bytes]:
        """All of a partition that is there."""
        consumer = confluent_kafka.Consumer(self.settings() | {"group.id": "reader"})
        place = confluent_kafka.TopicPartition(topic, partition, 0)
        found: list[bytes] = []
        try:
            _, end = consumer.get_watermark_offsets(place, timeout=10)
            consumer.assign([place])
            while len(found) < end:
                found += [message.value() for message in consumer.consume(500, 0.2) if message.error() is None]
        finally:
            consumer.close()
        return found

    def committed(self, group: str, topic: str, partitions: int) -> list[int]:
        """The group's offset in each partition; negative where it has none."""
        consumer = confluent_kafka.Consumer(self.settings() | {"group.id": group})
        try:
            places = [confluent_kafka.TopicPartition(topic, number) for number in range(partitions)]
            return [place.offset for place in consumer.committed(places, timeout=10)]
        finally:
            consumer.close()

    def close(self) -> None:
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)


class Front:
    """What clients connect to, one port a broker. `refused` counts those that did not say the right thing."""

    def __init__(
        self,
        brokers: Brokers,
        *,
        context: ssl.SSLContext | None = None,
        mechanism: str | None = None,
        user: str = "",
        password: str = "",
    ) -> None:
        self.refused = self.encrypted = self.authenticated = 0
        self._context, self._mechanism, self._user, self._password = context, mechanism, user, password
        self._listeners = [socket.create_server(("127.0.0.1", 0)) for _ in brokers.addresses]
        self._behind = [int(address.rpartition(":")[2]) for address in brokers.addresses]
        self._ports = [listener.getsockname()[1] for listener in self._listeners]
        self.addresses = [f"127.0.0.1:{port}" for port in self._ports]
        for listener, port in zip(self._listeners, self._behind, strict=True):
            threading.Thread(target=self._listen, args=(listener, port), daemon=True).start()

    def close(self) -> None:
        for listener in self._listeners:
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def _listen(self, listener: socket.socket, port: int) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client, port), daemon=True).start()

    def _serve(self, client: socket.socket, port: int) -> None:
        with suppress(OSError, EOFError), client:
            if self._context is not None:
                try:
                    client = self._context.wrap_socket(client, server_side=True)
                except (ssl.SSLEOFError, ConnectionError):  # it went away
                    return
                except OSError:
                    self.refused += 1
                    return
                self.encrypted += 1
            with client, socket.create_connection(("127.0.0.1", port)) as broker:
                self._relay(client, broker)

    def _relay(self, client: socket.socket, broker: socket.socket) -> None:
        """Requests and answers, on one thread: a TLS connection is not to be read and written by two at once."""
        login = self._login() if self._mechanism is not None else None
        asked: dict[int, int] = {}
        while True:
            ready = [client] if _decrypted(client) else select.select([client, broker], [], [])[0]
            if broker in ready:
                client.sendall(_framed(self._answer(_frame(broker), asked)))
            if client not in ready:
                continue
            frame = _frame(client)
            kind, version, correlation = struct.unpack_from(">hhi", frame)
            if kind == API_VERSIONS:
                asked[correlation] = version
            elif login is not None:  # those before a login are for the front
                answer, done = login(kind, _body(frame))
                client.sendall(_framed(struct.pack(">i", correlation) + answer))
                login = None if done else login
                continue
            broker.sendall(_framed(frame))

    def _answer(self, frame: bytes, asked: dict[int, int]) -> bytes:
        """What the client is to have instead of a broker's answer."""
        version = asked.pop(struct.unpack_from(">i", frame)[0], None)
        if version is not None and self._mechanism is not None:
            frame = _with_sasl(frame, version)
        for behind, port in zip(self._behind, self._ports, strict=True):
            frame = frame.replace(b"127.0.0.1" + struct.pack(">i", behind), b"127.0.0.1" + struct.pack(">i", port))
        return frame

    def _login(self) -> Callable[[int, bytes], tuple[bytes, bool]]:
        """Answers one request after the other; true with the last."""
        check = self._plain() if self._mechanism == "PLAIN" else self._scram()
        next(check)

        def login(kind: int, body: bytes) -> tuple[bytes, bool]:
            if kind == HANDSHAKE:
                name = (self._mechanism or "").encode()
                wrong = body[2:] != name
                self.refused += wrong
                error = UNSUPPORTED_MECHANISM if wrong else 0
                return struct.pack(">hih", error, 1, len(name)) + name, False
            if kind != AUTHENTICATE:
                raise EOFError  # nobody says anything else before
            said, done = check.send(body[4:])
            if said is None:
                self.refused += 1
                words = b"the password is wrong"
                return struct.pack(">hh", AUTHENTICATION_FAILED, len(words)) + words + struct.pack(">i", 0), False
            self.authenticated += done
            return struct.pack(">hhi", 0, -1, len(said)) + said, done

        return login

    def _plain(self) -> Any:
        given = yield
        right = given == f"\0{self._user}\0{self._password}".encode()
        yield (b"" if right else None), right

    def _scram(self) -> Any:
        """RFC 5802, 3."""
        name = (self._mechanism or "").removeprefix("SCRAM-").replace("-", "").lower()

        def keyed(key: bytes, text: bytes) -> bytes:
            return hmac.digest(key, text, name)

        first = (yield).removeprefix(b"n,,")
        nonce = first.partition(b"r=")[2] + base64.b64encode(os.urandom(12))
        salt = os.urandom(16)
        offer = b"r=%s,s=%s,i=%d" % (nonce, base64.b64encode(salt), ROUNDS)
        final = yield offer, False
        bare, _, proof = final.rpartition(b",p=")
        salted = hashlib.pbkdf2_hmac(name, self._password.encode(), salt, ROUNDS)
        client_key, whole = keyed(salted, b"Client Key"), first + b"," + offer + b"," + bare
        signature = keyed(hashlib.new(name, client_key).digest(), whole)
        wanted = bytes(one ^ other for one, other in zip(client_key, signature, strict=True))
        right = base64.b64decode(proof) == wanted and first.startswith(b"n=" + self._user.encode() + b",")
        verifier = b"v=" + base64.b64encode(keyed(keyed(salted, b"Server Key"), whole))
        yield (verifier if right else None), right


def _decrypted(sock: socket.socket) -> bool:
    """Whether it has more to read than the kernel knows of."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0


def _frame(sock: socket.socket) -> bytes:
    return _exactly(sock, struct.unpack(">i", _exactly(sock, 4))[0])


def _exactly(sock: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = sock.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _framed(frame: bytes) -> bytes:
    return struct.pack(">i", len(frame)) + frame


def _body(frame: bytes) -> bytes:
    """Behind a request's header of version 1: the client's name is a nullable string."""
    (length,) = struct.unpack_from(">h", frame, 8)
    return frame[10 + max(length, 0) :]


def _with_sasl(frame: bytes, version: int) -> bytes:
    """An ApiVersions response that says that there are SaslHandshake (to version 1) and SaslAuthenticate (0) too."""
    more = [(HANDSHAKE, 0, 1), (AUTHENTICATE, 0, 0)]
    error = struct.unpack_from(">h", frame, 4)[0]
    if version >= 3 and not error:
        return (
            frame[:6]
            + bytes((frame[6] + len(more),))
            + b"".join(struct.pack(">hhhb", *one, 0) for one in more)
            + frame[7:]
        )
    count = struct.unpack_from(">i", frame, 6)[0] + len(more)
    return frame[:6] + struct.pack(">i", count) + b"".join(struct.pack(">hhh", *one) for one in more) + frame[10:]
