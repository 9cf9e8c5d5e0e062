"""What sources and sinks of Kafka have in common: the library's configuration, and its words."""

from __future__ import annotations

import threading
from typing import Any

from flowrt.endpoints.kafka.config import KafkaOptions
from flowrt.endpoints.secrets import secret
from flowrt.errors import MissingExtra, StartError

try:
    import confluent_kafka
except ImportError as missing:
    raise MissingExtra("a Kafka endpoint", "kafka") from missing

Consumer, Producer = confluent_kafka.Consumer, confluent_kafka.Producer
KafkaError, KafkaException = confluent_kafka.KafkaError, confluent_kafka.KafkaException
TopicPartition = confluent_kafka.TopicPartition

DOWN = frozenset({KafkaError._ALL_BROKERS_DOWN, KafkaError._TRANSPORT, KafkaError._RESOLVE, KafkaError._AUTHENTICATION})
"""Errors that mean that the cluster is not to be reached at present."""


class Reach:
    """Whether the cluster answers, and what it said last."""

    def __init__(self) -> None:
        self.up = False
        self.reason = "no broker has answered yet"
        self._lock = threading.Lock()

    def failed(self, error: Any) -> bool:
        """The library's word; whether it means that the cluster is away, and it was not before."""
        if error.code() not in DOWN:
            return False
        with self._lock:
            was, self.up, self.reason = self.up, False, str(error.str())
            return was

    def answered(self) -> bool:
        """Something came back; whether that is new."""
        if self.up:
            return False
        with self._lock:
            was, self.up = self.up, True
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
