"""What users write of an MQTT endpoint. Pure: no MQTT library is imported to read or check a graph."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from flowrt.endpoints.topics import topic_fault
from flowrt.options import AfterValidator, Field, Options, model_validator
from flowrt.quota.quantity import Bytes, Seconds

PACKET_BYTES_MAX = 268_435_455
"""The largest remaining length MQTT can express (MQTT 5, 1.5.5), and the largest maximum that paho asks for."""


def _topic(value: str) -> str:
    if fault := topic_fault(value):
        raise ValueError(fault)
    return value


Topic = Annotated[str, AfterValidator(_topic)]


class Tls(Options):
    """How the connection is secured. `tls: {}` trusts the authorities the system trusts."""

    ca: Path | None = None
    """Certificates of the authorities that may have signed the broker's, as PEM; unset: the system's."""
    cert: Path | None = None
    """This client's certificate, as PEM."""
    key: Path | None = None
    """The key of `cert`, as PEM."""
    key_password_file: Path | None = None
    """File with the password of `key`."""
    insecure: bool = False
    """Do not compare the broker's name with its certificate. For a bench, never for a plant."""

    @model_validator(mode="after")
    def _cert_with_key(self) -> Self:
        if self.key is not None and self.cert is None:
            raise ValueError("key without cert; give the certificate that belongs to it")
        return self


class Credentials(Options):
    """Who this client is. Secrets come from files or from systemd (`LoadCredential=`), never from the graph file."""

    username: str | None = None
    """The user's name, where it is no secret."""
    username_file: Path | None = None
    """File with the user's name."""
    username_credential: str | None = None
    """Name of the systemd credential that holds the user's name."""
    password_file: Path | None = None
    """File with the password."""
    password_credential: str | None = None
    """Name of the systemd credential that holds the password."""

    @model_validator(mode="after")
    def _one_of_each(self) -> Self:
        if sum(value is not None for value in (self.username, self.username_file, self.username_credential)) > 1:
            raise ValueError("give one of username, usernameFile and usernameCredential")
        if self.password_file is not None and self.password_credential is not None:
            raise ValueError("give one of passwordFile and passwordCredential")
        return self


class Announcement(Options):
    """A message that says that this client is there, or gone."""

    topic: Topic
    """Where it is published."""
    payload: str = Field("", max_length=65535)
    """What it says."""
    qos: Literal[0, 1, 2] = 1
    """Quality of service."""
    retain: bool = True
    """Whether the broker keeps it for who comes later."""


class Reconnect(Options):
    """How long to wait before the next try to connect: the pause doubles from `min` to `max`, give or take a third."""

    min: Seconds = Field(0.2, gt=0, le=3600)
    """The first pause. 200 ms: a broker that restarts is found at once."""
    max: Seconds = Field(30.0, gt=0, le=86400)
    """The longest. 30 s: a hundred gateways do not keep a broker from coming up."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.min > self.max:
            raise ValueError("min is larger than max")
        return self


class Outage(Options):
    """What an outage needs: of flowrt, which the broker's queue must outlast, and of the broker, which a spool must."""

    cover: Seconds = Field(gt=0)
    """How long an outage may be without a message lost."""
    rate: float = Field(gt=0, le=1e7)
    """Messages a second that are expected."""
    queue: int = Field(1000, ge=0)
    """How many messages the broker keeps for a client that is away: Mosquitto's `max_queued_messages`, which is 1000
    unless told otherwise; 0 is without bound."""


class Proxy(Options):
    """A proxy on the way to the broker. Needs the package PySocks."""

    type: Literal["http", "socks4", "socks5"] = "socks5"
    """What it speaks."""
    host: str = Field(min_length=1)
    """Its name or address."""
    port: int = Field(1080, ge=1, le=65535)
    """Its port."""


class MqttOptions(Options):
    """An MQTT broker. Sources share one connection to it, sinks another (client id with `-out`)."""

    host: str = Field(min_length=1, max_length=255)
    """Name or address of the broker."""
    port: int | None = Field(None, ge=1, le=65535)
    """Unset: 1883, with `tls` 8883."""
    client_id: str | None = Field(None, min_length=1, max_length=1024)
    """Who this client is to the broker, which keeps the session under it. Unset: made of the machine's, the graph's and
    the endpoint's name."""
    version: Literal["auto", "5", "3.1.1"] = "auto"
    """`auto` is 5, stepping down to 3.1.1 where the broker refuses it."""
    clean_start: bool = False
    """Forget what the broker kept for this client when the program starts."""
    session_expiry: Seconds = Field(3600.0, ge=0, le=4_294_967_294)
    """How long the broker keeps messages for this client while it is away. 1h: a restart loses nothing. With 3.1.1 a
    broker keeps them for ever, or with 0 not at all."""
    keep_alive: Seconds = Field(30.0, ge=1, le=65535)
    """How soon a dead connection is noticed, at most one and a half times this. Whole seconds."""
    answer_timeout: Seconds = Field(15.0, ge=1, le=3600)
    """How long the broker may say nothing at all while it owes an answer, to messages or to a ping. Then the connection
    is given up, and what is under way is spooled. A slow link, on which bytes still arrive, is not silent."""
    connect_timeout: Seconds = Field(5.0, gt=0, le=300)
    """How long a try to connect may take."""
    receive_maximum: int = Field(1000, ge=1, le=65535)
    """Messages of QoS 1 and 2 the broker may have under way to this client. 1000: a full batch, and little to repeat
    after a crash."""
    maximum_packet: Bytes = Field(PACKET_BYTES_MAX, ge=1024, le=PACKET_BYTES_MAX)
    """Largest packet taken; the broker keeps larger ones back."""
    max_inflight: int = Field(1000, ge=1, le=60_000)
    """Messages of QoS 1 and 2 the sinks may have under way to the broker, if it allows as many."""
    tls: Tls | None = None
    """Secures the connection."""
    credentials: Credentials | None = None
    """User and password."""
    will: Announcement | None = None
    """What the broker publishes when it loses this client's sources."""
    birth: Announcement | None = None
    """What is published after each connect."""
    reconnect: Reconnect = Reconnect.by_default()
    """Pauses between tries to connect."""
    transport: Literal["tcp", "websockets"] = "tcp"
    """What carries MQTT."""
    path: str = Field("/mqtt", max_length=1024)
    """Path of the web socket."""
    outage: Outage | None = None
    """What `flowrt check` holds the broker's queue and the spools of sinks against."""
    proxy: Proxy | None = None
    """A proxy on the way."""

    @property
    def address(self) -> str:
        """`host:port`, for people."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port_number}"

    @property
    def port_number(self) -> int:
        return self.port or (8883 if self.tls is not None else 1883)
