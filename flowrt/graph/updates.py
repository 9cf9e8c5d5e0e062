"""What users write of how their graph may be changed while it runs: `updates`."""

from __future__ import annotations

from typing import Annotated, Literal

from flowrt.graph.remote import Access, Commands, Follow
from flowrt.options import Field, Options
from flowrt.quota.quantity import Bytes, Seconds

Share = Annotated[float, Field(ge=0, le=1)]


class Golden(Options):
    """A message that a new version is tried on before it sees traffic."""

    operation: str = Field(min_length=1, max_length=256)
    """The operation it is given to."""
    payload: str
    """What it holds, as text."""
    topic: str = "flowrt/golden"
    """Its topic."""
    expect: str | None = None
    """What must come out, as text. Unset: anything, but no fault."""


class Record(Options):
    """How much of what runs is recorded, for new versions to be tried on."""

    messages: int = Field(32, ge=1, le=1000)
    """Messages kept of each operation; the oldest give way."""
    bytes: Bytes = Field(2**18, ge=2**10, le=2**24)
    """What they may take for each operation."""
    every: Seconds = Field(10.0, ge=1, le=86400)
    """How often a few are recorded."""


class Bounds(Options):
    """How much worse a new version may be than the one it replaces. Beyond it, the old one takes over again."""

    traps: int = Field(0, ge=0, le=1_000_000)
    """Messages on which the new version may trap, exceed its deadline or run into its memory quota while the old one
    handles them. 0: the first is one too many."""
    faults: Share = 0.01
    """Share of the messages that it may refuse while the old one handles them."""
    latency: float = Field(3.0, ge=1, le=1000)
    """How many times the old version's time a message may take, beyond 200 us."""
    memory: Share = 0.9
    """Share of its memory quota that it may hold, unless the old one holds as much."""
    drift: Share | None = None
    """Share of the messages for which both versions may give different results. Unset: a new version is expected to
    differ."""
    tolerance: float = Field(0.0, ge=0, le=1)
    """Numbers that are apart by less than this share of the larger one count as the same, in JSON and in tensors of
    floats."""


class Updates(Options):
    """How a graph is changed while it runs."""

    golden: tuple[Golden, ...] = ()
    """Messages that a new version must handle before it sees traffic."""
    record: Record | None = None
    """Golden messages recorded from live traffic: a new version must handle what the proven one has handled, and with
    `bounds.drift` make the same of it, before it sees traffic. They lie in the state folder, as confidential as the
    messages are. Unset: nothing is recorded."""
    shadow: int = Field(32, ge=0, le=1_000_000)
    """Live messages that the new version is given beside the old one, its results compared and forgotten, before it
    takes over."""
    shadow_time: Seconds = Field(2.0, ge=0, le=86400)
    """How long to wait for them. When fewer came, the update goes on."""
    canary: Share = 0.0
    """Share of the topics that the new version gets first, by their hash: one device always meets one version."""
    canary_time: Seconds = Field(30.0, ge=0, le=604800)
    """How long it gets only those."""
    probation: Seconds = Field(30.0, ge=0, le=604800)
    """How long the old version is kept warm beside the new one, ready to take over."""
    messages: int = Field(100, ge=0, le=1_000_000)
    """Messages the new version must have handled before it counts as proven, however long that takes."""
    patience: Seconds | None = Field(None, ge=0, le=2_592_000)
    """How long to wait for those `messages`, for a graph that sees few: then the new version counts as proven when
    nothing was held against it. Unset: as long as it takes, the old version warm beside it."""
    timeout: Seconds = Field(10.0, gt=0, le=3600)
    """How long an exchange may wait for what is under way to pass."""
    state: Literal["carry", "fresh"] = "carry"
    """Whether a module that keeps state goes on with what the old version kept, or begins empty."""
    bounds: Bounds = Bounds.by_default()
    """How much worse a new version may be."""
    commands: Commands | None = None
    """A topic on which signed commands are taken. Unset: none is."""
    follow: tuple[Follow, ...] = Field((), max_length=64)
    """Tags and addresses that are asked for new versions."""
    registries: tuple[Access, ...] = Field((), max_length=64)
    """Where commands and `follow` may bring something from, and how these are reached. What is followed needs no entry
    where it is reached by HTTPS without a password; commands bring nothing from elsewhere."""

    def access(self, host: str) -> Access | None:
        """How a registry is reached; None where nothing is said."""
        return next((access for access in self.registries if access.host == host), None)


NO_UPDATES = Updates.by_default()
"""What holds for a graph that says nothing."""
