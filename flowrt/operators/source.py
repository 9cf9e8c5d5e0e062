"""`source`: where messages enter the graph.

With an MQTT endpoint a source subscribes to `topics`; with a file endpoint it reads the file's lines. A plain AIO
definition leaves `endpoint` out: then the source is bound by `--bind NAME=URL` or by a manifest.
"""

from __future__ import annotations

from typing import Literal

from flowrt.operators.base import Operation
from flowrt.options import Field
from flowrt.quota.quantity import Seconds


class SourceOperation(Operation):
    """Reads messages from an endpoint."""

    operation_type: Literal["source"]
    endpoint: str | None = None
    """Name of the endpoint; unset in a plain AIO definition, whose ends are bound from outside."""
    topics: tuple[str, ...] = Field((), max_length=1024)
    """MQTT topic filters, `+` and `#` allowed, `$share/GROUP/FILTER` for a shared subscription. For a file: the one
    topic its messages are given; unset, the file's name."""
    qos: Literal[0, 1, 2] = 1
    """Highest quality of service asked for. From 1 on, a message is acknowledged when all that derives from it is
    out."""
    retained: Literal["include", "ignore"] = "include"
    """Whether messages the broker retained arrive when the subscription starts."""
    lateness: Seconds = Field(0.0, ge=0, le=86_400)
    """Only where an operation behind it keeps time: how much later than their senders' clocks (`__ts`) say messages may
    come and still count as of then. Windows close so much later. At 0 a message counts as of its arrival."""
    overflow: Literal["wait", "newest", "oldest"] = "wait"
    """QoS 0 only: when the next inbox is full, `wait` stops the reading, `newest` drops what comes, `oldest` drops what
    waits longest. Every drop is counted."""
