"""What users write of a Kafka endpoint. Pure: no Kafka library is imported to read or check a graph."""

from __future__ import annotations

from typing import Literal, Self

from flowrt.endpoints.mqtt.config import Credentials, Tls
from flowrt.options import Field, Options, model_validator
from flowrt.quota.quantity import Bytes, Seconds


class KafkaOptions(Options):
    """A Kafka cluster, or what speaks its protocol. Needs `pip install 'flowrt[kafka]'`.

    A source's `topics` are names of topics, a sink's `topic` is a template of one; `qos` means nothing here: a source's
    offsets are committed when all that derives from its messages is out, a sink waits for every replica."""

    brokers: tuple[str, ...] = Field(min_length=1, max_length=64)
    """Some of the cluster's brokers, as `host:port`; they tell of the others."""
    group: str | None = Field(None, min_length=1, max_length=255)
    """The consumer group, whose members share the partitions. Unset: made of the graph's and the endpoint's name."""
    client_id: str = Field("flowrt", min_length=1, max_length=255)
    """What brokers call this client in their logs and quotas."""
    start: Literal["earliest", "latest"] = "earliest"
    """Where a group begins that has committed nothing yet."""
    key: str = Field("{topic}", max_length=65535)
    """What a sink gives messages as their key, a template as a sink's topic is: those of one key keep their order."""
    session_timeout: Seconds = Field(45.0, ge=1, le=1800)
    """How long after a crash other members of the group, or this one when it is back, wait until they are given its
    partitions. Brokers take 6s to 30m, unless told otherwise."""
    max_inflight: int = Field(1000, ge=1, le=100_000)
    """Messages that may be under way, in and out each: what a crash repeats at most."""
    commit_every: Seconds = Field(1.0, gt=0, le=3600)
    """How often offsets are committed."""
    message_max: Bytes = Field(2**20, ge=1024, le=10**9)
    """Largest message that a sink sends; the broker's own limit (`message.max.bytes`) is 1Mi unless told otherwise."""
    compression: Literal["none", "gzip", "lz4", "zstd", "snappy"] = "none"
    """How a sink's messages are packed."""
    linger: Seconds = Field(0.005, ge=0, le=60)
    """How long a sink gathers messages before it sends them."""
    tls: Tls | None = None
    """Secures the connection."""
    sasl: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    """How `credentials` are shown."""
    credentials: Credentials | None = None
    """User and password."""

    @model_validator(mode="after")
    def _brokers_with_port(self) -> Self:
        for broker in self.brokers:
            host, colon, port = broker.rpartition(":")
            if not colon or not host or not port.isdecimal() or not 0 < int(port) < 65536:
                raise ValueError(f"'{broker}' is not host:port")
        return self

    @property
    def address(self) -> str:
        """For people."""
        return ",".join(self.brokers)
