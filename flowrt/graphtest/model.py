"""What a test file may hold: parser and reference in one."""

from __future__ import annotations

from typing import Any

from flowrt.options import ConfigDict, Field, Options
from flowrt.quota.quantity import Seconds

COUNT_MAX = 100_000
"""Messages of one entry: what a case handles within its default timeout."""


class Content(Options):
    """A message's payload and what goes with it. At most one of `payload`, `base64`, `file` and `tensors` is given."""

    topic: str | None = Field(None, max_length=65535)
    """Topic."""
    payload: Any = None
    """A text, as it is; anything else, as JSON."""
    base64: str | None = None
    """Bytes, as base64."""
    file: str | None = Field(None, min_length=1, max_length=4096)
    """Bytes of a file, relative to the test's folder."""
    tensors: dict[str, tuple[float, ...]] | None = Field(None, min_length=1, max_length=64)
    """By name: numbers, as the 32-bit floats of tensors one after the other, as models take and give them."""
    content_type: str | None = Field(None, max_length=1024)
    """Content type."""
    properties: dict[str, str] = Field(default_factory=dict)
    """User properties."""


class Given(Content):
    """A message that enters the graph, or several."""

    source: str | None = None
    """The source that reads it; unset: the graph's only one."""
    at: Seconds | None = Field(None, ge=0, le=366 * 86400)
    """When, from the test's start on; unset: with the message before it."""
    lines: str | None = Field(None, min_length=1, max_length=4096)
    """In place of one payload: a file, each line of which is a message."""
    repeat: int = Field(1, ge=1, le=COUNT_MAX)
    """So many times …"""
    every: Seconds = Field(0.0, ge=0, le=366 * 86400)
    """… so far apart. Also the time between lines."""
    timestamp: str | None = Field(None, max_length=300)
    """The sender's clock, as the user property `__ts` has it: `MILLISECONDS:COUNTER:NODE`."""


class Expected(Content):
    """A message that has to come out. Only what is given is compared."""

    repeat: int = Field(1, ge=1, le=COUNT_MAX)
    """So many messages in a row have to be like this."""
    tolerance: float = Field(0.0, ge=0)
    """How far a number may be off, as a part of the expected one, and beside zero absolutely."""
    partial: bool = False
    """Whether the payload's objects may have further members."""
    after: Seconds | None = Field(None, ge=0, le=366 * 86400)
    """When it has to come out, from the test's start on, to the millisecond."""


class Stub(Options):
    """Stands in for an operation. Exactly one of its fields is given."""

    emit: tuple[Content, ...] | None = Field(None, min_length=1, max_length=COUNT_MAX)
    """What it makes of each message in turn; the last of all that follow. The topic stays, unless it is given."""
    verdict: tuple[bool, ...] | None = Field(None, min_length=1, max_length=COUNT_MAX)
    """Of a filter or branch: what it says of each message in turn."""
    passes: bool | None = Field(None, alias="pass")
    """true: messages pass unchanged. false: none comes out."""
    fail: str | None = Field(None, min_length=1)
    """It fails on every message, with these words."""


class Letter(Options):
    """A message that has to be dead-lettered. Only what is given is compared."""

    node: str
    """The operation that could not handle it."""
    kind: str | None = None
    """The kind of fault, as `error`, `trap`, `deadline`."""
    reason: str | None = None
    """What its detail has to contain."""
    payload: Any = None
    """Its payload: a text, or anything else as JSON."""


class Case(Options):
    """One run of the graph: what enters and what has to become of it."""

    name: str = Field(min_length=1, max_length=1024)
    """For people."""
    in_: tuple[Given, ...] = Field((), alias="in", max_length=COUNT_MAX)
    """Messages that enter, in order."""
    out: dict[str, tuple[Expected, ...]] | None = None
    """What has to come out, in order, by sink; or by operation, or `OPERATION.True` and `OPERATION.False` of a branch,
    for what leaves it. Sinks that are not named have to stay empty. Unset: anything may come out."""
    any_order: bool = False
    """Whether the messages of `out` may come in another order."""
    metrics: dict[str, dict[str, float]] = Field(default_factory=dict)
    """By operation: what its counters have to be in the end. See docs/testing.md for their names."""
    dead_letters: tuple[Letter, ...] = ()
    """The messages that have to be dead-lettered, in order: these and no others."""
    stubs: dict[str, Stub] = Field(default_factory=dict)
    """By operation, what stands in for it here; `OPERATION.True` or `OPERATION.False` cuts an arm."""
    set: dict[str, str] = Field(default_factory=dict)
    """Values for parameters and variables, as `--set` gives them."""
    state: dict[str, Any] = Field(default_factory=dict)
    """What the state store holds in the beginning: texts, or anything else as JSON."""
    state_after: dict[str, Any] = Field(default_factory=dict)
    """What it has to hold in the end; null: the key has to be gone."""
    timeout: Seconds = Field(60.0, gt=0, le=3600)
    """Real time the case may take; looked at between batches."""


class TestFile(Options):
    """Tests of one graph."""

    __test__ = False  # not one of pytest's

    graph: str = Field(min_length=1, max_length=4096)
    """The graph's file, relative to the test's folder."""
    description: str | None = None
    """For people."""
    start: str = "2026-01-01T00:00:00.001Z"
    """The moment on the virtual clock at which every case begins, as RFC 3339 writes it."""
    set: dict[str, str] = Field(default_factory=dict)
    """As in a case, for all of them."""
    state: dict[str, Any] = Field(default_factory=dict)
    """As in a case, for all of them."""
    schemas: dict[str, str] = Field(default_factory=dict)
    """Module schemas that operators are given beside the graph's own: files by name."""
    stubs: dict[str, Stub] = Field(default_factory=dict)
    """As in a case, for all of them."""
    cases: tuple[Case, ...]
    """The tests."""


class AioTest(Options):
    """A test as Azure IoT Operations' samples have it."""

    model_config = ConfigDict(alias_generator=None)

    name: str = Field(min_length=1, max_length=1024)
    """For people."""
    graph: str = Field(min_length=1, max_length=4096)
    """The graph's file, relative to the test's folder."""
    input: str = Field(min_length=1, max_length=4096)
    """A folder, or a file: each file is a message."""
    expected: str = Field(min_length=1, max_length=4096)
    """A JSON file: one message, or a list of messages."""
    timeout: int = Field(60_000, gt=0, le=3_600_000)
    """Milliseconds the test may take."""
    select: tuple[str, ...] = ()
    """Paths of messages that are compared; none: all that is expected."""
    ignores: tuple[str, ...] = ()
    """Paths that are not compared."""
