"""What users write of a sink's spool, and of the breaker that keeps a sink from knocking on a closed door."""

from __future__ import annotations

from typing import Literal

from flowrt.options import Field, Options
from flowrt.quota.quantity import Bytes, Seconds


class Spool(Options):
    """Where a sink's messages wait on disk while its broker is away or slow. What is there counts as done at the
    source.

    It costs nothing while the broker is there: nothing is written, no file is opened."""

    enabled: bool = True
    """`false`: messages wait where they came from, at their source's broker for one."""
    after: Seconds = Field(1.0, ge=0.05, le=3600)
    """How long a batch waits for the broker before it is spooled. A broker's restart writes nothing."""
    bytes: Bytes = Field(256 * 2**20, ge=2**20, le=2**40)
    """The most that the spool may hold on disk, give or take one of its files of 4Mi."""
    messages: int = Field(1_000_000, ge=1, le=2**40)
    """The most messages that it may hold."""
    age: Seconds | None = Field(None, gt=0)
    """Messages that have waited longer are dropped. Unset: they are kept, since a gateway without a clock of its own
    may have been wrong about the time."""
    when_full: Literal["oldest", "newest", "wait"] = "oldest"
    """`oldest` and `newest` say what is dropped, and counted, when the spool is full; `wait` drops nothing: then the
    source is held up."""
    drain_rate: float | None = Field(1000.0, gt=0, le=1e9)
    """Messages a second that are sent from the spool beyond those that come in; nothing there: as fast as it goes."""
    gather: Seconds = Field(0.1, ge=0, le=10)
    """How long a durable write waits for more messages: each costs flash some 17 kB beside them."""


class Breaker(Options):
    """When a sink stops sending because the broker turns its messages away for now ("quota exceeded" for one). Those
    that come meanwhile are spooled; then a single message is tried."""

    refusals: int = Field(20, ge=1, le=100_000)
    """So many messages turned away for now…"""
    within: Seconds = Field(10.0, gt=0, le=3600)
    """…in this time open the breaker…"""
    pause: Seconds = Field(10.0, gt=0, le=86400)
    """…for so long."""
