"""`sink`: where messages leave the graph.

The topic is a template: `{topic}`, `{topic[1]}` (a level, from 0), `{property.KEY}`, `{json.a.b}`. A message for which
it cannot be filled goes where `onError` says.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flowrt.operators.base import Operation
from flowrt.operators.spool_config import Breaker, Spool


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
    spool: Spool = Spool()
    """Where messages of QoS 1 and 2 wait while the broker is away. An MQTT or Kafka endpoint only."""
    breaker: Breaker = Breaker()
    """When the sink stops sending because its messages are turned away for now."""
    content_type: str | None = Field(None, max_length=1024)
    """Content type to send with messages that have none."""
