"""One run of a graph in a test, whichever form it was written in, and what came of it. Plain data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from flowrt.delivery.deadletters import DeadLetter
from flowrt.graphtest.model import Stub
from flowrt.message import Head
from flowrt.values import Struct, field

START_MS = 1_767_225_600_001
"""2026, a millisecond old: no window of whole seconds begins or ends with a test."""


class TrialError(Exception):
    """A test cannot be run as it is written; the words say why and what to do."""


class Arrival(Struct, frozen=True):
    """A message that enters."""

    at: int
    """Milliseconds after the start."""
    payload: bytes
    head: Head
    source: str | None = None
    """None: the graph's only one."""
    place: str = ""
    """Where it stands, for people."""


class Trial(Struct, frozen=True):
    """What is run, and how it is judged."""

    name: str
    path: Path
    """The test's file."""
    graph: Path
    arrivals: Sequence[Arrival]
    judge: Callable[[Outcome], list[str]]
    """What is wrong with an outcome, in words for people; nothing when it is as it has to be."""
    sets: Mapping[str, str] = field(default_factory=dict)
    seeds: Mapping[bytes, bytes] = field(default_factory=dict)
    """What the state store holds in the beginning."""
    schemas: tuple[tuple[str, str, str], ...] = ()
    """Name, format and text of module schemas beside the graph's own."""
    stubs: Mapping[str, Stub] = field(default_factory=dict)
    watched: frozenset[str] = frozenset()
    """Operations and arms, beside sinks, whose messages are kept."""
    start: int = START_MS
    """Milliseconds since the epoch."""
    timeout: float = 60.0
    """Seconds of real time."""


class Left(Struct, frozen=True):
    """A message that came out."""

    after: int
    """Milliseconds since the start."""
    head: Head
    payload: bytes


class Outcome(Struct):
    """What came of a trial."""

    out: dict[str, list[Left]] = field(default_factory=dict)
    """By sink, or by a watched operation or arm."""
    letters: list[DeadLetter] = field(default_factory=list)
    counters: dict[str, dict[str, float]] = field(default_factory=dict)
    """By operation."""
    state: dict[bytes, bytes] = field(default_factory=dict)
    open: int = 0
    """Messages whose source was never told what became of them."""
    reached: set[str] = field(default_factory=set)
    """Operations and arms that messages passed."""
    reachable: set[str] = field(default_factory=set)
    """All operations and arms of the graph."""
    log: list[str] = field(default_factory=list)
