"""`sink`: where messages leave the graph.

The topic is a template: `{topic}`, `{topic[1]}` (a level, from 0), `{property.KEY}`, `{json.a.b}`. A message for which
it cannot be filled goes where `onError` says.
"""

from __future__ import annotations

from typing import Literal, Self

from flowrt.message import Head
from flowrt.operators.base import Operation
from flowrt.operators.spool_config import Breaker, Spool
from flowrt.options import Field, Options, model_validator

HEADERS_MAX = 256


class Header(Options):
    """What a sink does to one user property of the messages that leave."""

    action: Literal["addIfNotPresent", "addOrReplace", "remove"]
    """As AIO's destinations have it."""
    key: str = Field(min_length=1, max_length=65535)
    """The property."""
    value: str | None = Field(None, max_length=65535)
    """Its value, where it is added or replaced."""

    @model_validator(mode="after")
    def _valued(self) -> Self:
        if (self.value is None) != (self.action == "remove"):
            raise ValueError("`remove` takes no value, and the other actions need one")
        return self

    def applied(self, properties: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
        """The properties after it. One that is replaced keeps its first place."""
        present = any(key == self.key for key, _ in properties)
        if self.value is None:
            return tuple(pair for pair in properties if pair[0] != self.key)
        if not present:
            return (*properties, (self.key, self.value))
        if self.action == "addIfNotPresent":
            return properties
        first = next(place for place, (key, _) in enumerate(properties) if key == self.key)
        return tuple(
            (key, self.value if place == first else value)
            for place, (key, value) in enumerate(properties)
            if key != self.key or place == first
        )


class SinkOperation(Operation):
    """Sends messages to an endpoint."""

    operation_type: Literal["sink"]
    endpoint: str | None = None
    """Name of the endpoint; unset in a plain AIO definition, whose ends are bound from outside."""
    topic: str = Field("{topic}", min_length=1, max_length=65535)
    """Topic to publish to, a template. Unused by a file."""
    qos: Literal[0, 1, 2] = 1
    """Quality of service to publish with. With 1 or 2 a message counts as out when the broker has acknowledged it."""
    retain: bool = False
    """Whether the broker keeps the last message of each topic."""
    idempotency_key: bool = False
    """Whether messages carry the user property `idempotency-key`, the same whenever the same source message comes
    again: a consumer that remembers keys handles each message once (docs/delivery.md). It costs a digest and a property
    a message."""
    spool: Spool = Spool.by_default()
    """Where messages of QoS 1 and 2 wait while the broker is away. An MQTT or Kafka endpoint only."""
    breaker: Breaker = Breaker.by_default()
    """When the sink stops sending because its messages are turned away for now."""
    content_type: str | None = Field(None, max_length=1024)
    """Content type to send with messages that have none."""
    timestamp: Literal["keep", "write"] = "keep"
    """The user property `__ts`, a hybrid logical clock. `keep` sends what a message came with, or what a module gave
    it; `write` also gives one to messages without: the time at which they count. It costs a property a message."""
    headers: tuple[Header, ...] = Field((), max_length=HEADERS_MAX)
    """What becomes of user properties, in order."""

    def outward(self, head: Head) -> Head:
        """A message's head as it leaves."""
        properties = head.properties
        for header in self.headers:
            properties = header.applied(properties)
        return head if properties == head.properties else head.with_(properties=properties)
