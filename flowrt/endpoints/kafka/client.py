"""What sources and sinks of Kafka have in common: the library's configuration, and its words."""

from __future__ import annotations

import re
import threading
from typing import Any

from flowrt.endpoints.base import EndpointCounters
from flowrt.endpoints.kafka.config import KafkaOptions
from flowrt.endpoints.secrets import secret
from flowrt.errors import MissingExtra, StartError
from flowrt.events import Emit, EndpointConnected, EndpointLost, EndpointRefused

try:
    import confluent_kafka
except ImportError as missing:
    raise MissingExtra("a Kafka endpoint", "kafka") from missing

Consumer, Producer = confluent_kafka.Consumer, confluent_kafka.Producer
KafkaError, KafkaException = confluent_kafka.KafkaError, confluent_kafka.KafkaException
TopicPartition = confluent_kafka.TopicPartition

REFUSALS = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED})
"""Errors of one broker that someone has to put right: a password, a certificate."""
TROUBLES = frozenset({KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._TIMED_OUT})
"""Errors of one broker that say why, should all of them be away."""
BROKEN_OFF = "Local: Broker transport failure"
"""In the words of a refusal: the connection broke while the broker was asked."""
TOLD_MAX = 8
"""Different refusals of one outage that are told."""
_SAID = re.compile(r"^\S+: | \(after .*")
"""What differs from broker to broker and from time to time, in the library's words."""
LOOK_SECONDS = 1.0
"""Between questions to a cluster that does not answer."""
ANSWER_SECONDS = 1.0
"""How long an answer may take."""


class Reach:
    """Whether the cluster answers; tells the user when that changes, and once why it does not. One broker of several
    that is away is nobody's business: the others take over. Safe from any thread."""

    def __init__(self, endpoint: str, address: str, direction: str, counters: EndpointCounters, emit: Emit) -> None:
        self.up = False
        self._endpoint, self._address, self._direction = endpoint, address, direction
        self._counters, self._emit = counters, emit
        self._reason = "no broker has answered"
        self._told: set[str] = set()
        """What the user was told since a broker answered last."""
        self._lock = threading.Lock()

    def failed(self, error: Any) -> bool:
        """The library's word; whether it is that the cluster is away now, and was not before."""
        code = error.code()
        if code == KafkaError._ALL_BROKERS_DOWN:
            return self.away()
        if code in REFUSALS and BROKEN_OFF not in error.str():
            with self._lock:
                self._reason = error.str()
                said = _SAID.sub("", self._reason)
                news = said not in self._told and len(self._told) < TOLD_MAX
                if news:
                    self._told.add(said)
            if news:
                self._emit(EndpointRefused(self._endpoint, self._address, error.str()))
        elif code in TROUBLES or code in REFUSALS:
            self._reason = error.str()
        return False

    def away(self) -> bool:
        """No broker is to be reached; whether one was before."""
        with self._lock:
            was, self.up = self.up, False
            news = was or "away" not in self._told
            self._told.add("away")
        self._counters.connected = 0
        if news:
            self._emit(EndpointLost(self._endpoint, self._address, self._reason, LOOK_SECONDS))
        return was

    def answered(self) -> bool:
        """Something came back; whether that is new."""
        if self.up:
            return False
        with self._lock:
            was, self.up = self.up, True
            self._told.clear()
        if not was:
            self._counters.connected = 1
            self._counters.connects += 1
            self._emit(EndpointConnected(self._endpoint, self._address, self._direction))
        return not was


def settings(options: KafkaOptions) -> dict[str, Any]:
    """For librdkafka. Raises `StartError` for a secret that cannot be read."""
    found: dict[str, Any] = {
        "bootstrap.servers": options.address,
        "client.id": options.client_id,
        "log_level": 0,
        "socket.keepalive.enable": True,
        "reconnect.backoff.max.ms": 5000,
    }
    if options.tls is not None:
        tls = options.tls
        given = {"ssl.ca.location": tls.ca, "ssl.certificate.location": tls.cert, "ssl.key.location": tls.key}
        found |= {name: str(path) for name, path in given.items() if path is not None}
        if tls.key_password_file is not None:
            found["ssl.key.password"] = _read(tls.key_password_file, None)
        if tls.insecure:
            found["ssl.endpoint.identification.algorithm"] = "none"
    if options.credentials is not None:
        who = options.credentials
        name = who.username if who.username is not None else _read(who.username_file, who.username_credential)
        password = _read(who.password_file, who.password_credential)
        found |= {"sasl.mechanism": options.sasl, "sasl.username": name or "", "sasl.password": password or ""}
    security = ("SASL_" if options.credentials is not None else "") + (
        "SSL" if options.tls is not None else "PLAINTEXT"
    )
    return found | {"security.protocol": security}


def made(kind: Any, configuration: dict[str, Any]) -> Any:
    """A client of the library. Raises `StartError` for what it does not take."""
    try:
        return kind(configuration)
    except (KafkaException, ValueError, TypeError) as error:
        raise StartError(f"Kafka: {error.args[0] if error.args else error}") from error


def _read(file: Any, credential: str | None) -> str | None:
    try:
        return secret(file, credential)
    except (OSError, ValueError) as error:
        raise StartError(f"Kafka: cannot read a secret: {error}") from error
