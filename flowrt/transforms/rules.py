"""What a transform is told, exactly as AIO's built-in transforms take it, as JSON or as YAML.

The keys are those of the artifacts' configurations: `rules` of graph-dataflow-map, -filter, -branch and -window,
`throttle` of -throttle, and `delay`, `count`, `memory` and `triggers` of -window.
"""

from __future__ import annotations

from typing import Literal

from flowrt.options import Field, Options
from flowrt.quota.quantity import Seconds

RULES_MAX = 1024
"""Rules of one transform; the largest seen has forty."""
INPUTS_MAX = 256

Boundary = Literal["messageInCurrent", "messageInNext"]


class MapRule(Options):
    """Computes or copies one field, or removes some."""

    inputs: tuple[str, ...] = Field(max_length=INPUTS_MAX)
    """Paths of what becomes `$1`, `$2`, …; with a `*`, of every field that fits."""
    output: str
    """Path to write to; `""` removes the inputs from what a wildcard copies."""
    expression: str | None = None
    """What to write; unset: the first input as it is."""
    description: str | None = None
    """For people, and in error messages."""


class FilterRule(Options):
    """A condition under which messages are dropped."""

    inputs: tuple[str, ...] = Field(max_length=INPUTS_MAX)
    """Paths of what becomes `$1`, `$2`, …"""
    expression: str
    """Gives a boolean. True drops the message, which is the other way round than a filter module."""
    description: str | None = None
    """For people, and in error messages."""


class BranchRule(Options):
    """The condition that chooses a message's arm."""

    inputs: tuple[str, ...] = Field(max_length=INPUTS_MAX)
    """Paths of what becomes `$1`, `$2`, …"""
    expression: str
    """Gives a boolean: the arm."""
    description: str | None = None
    """For people, and in error messages."""


class AccumulateRule(Options):
    """One figure of a window."""

    inputs: tuple[str, ...] = Field(max_length=INPUTS_MAX)
    """Paths of what becomes the columns `$1`, `$2`, …"""
    output: str = Field(min_length=1)
    """Path to write to, unique in the window."""
    expression: str
    """Of aggregation functions, such as `average($1)`."""
    description: str | None = None
    """For people, and in error messages."""


class Dataset(Options):
    """Records that messages are enriched with: lines of JSON, of which the first that fits counts."""

    key: str = Field(min_length=1, max_length=1024)
    """Key in the state store, with ` as ALIAS` behind it for a shorter name in rules."""
    inputs: tuple[str, ...] = Field(max_length=INPUTS_MAX)
    """Paths that begin with `$source.` (the message) or `$context.` (the record)."""
    expression: str
    """Gives a boolean: whether the record belongs to the message."""
    file: str | None = Field(None, min_length=1)
    """A file of the records, relative to the graph's folder, in place of the state store. Not AIO's."""

    @property
    def store_key(self) -> str:
        """The key without its alias."""
        return self.key.rpartition(" as ")[0].strip() or self.key.strip()

    @property
    def alias(self) -> str:
        """What rules call it."""
        return self.key.rpartition(" as ")[2].strip()


class Rules(Options):
    """The `rules` of a map, a filter, a branch or a window: exactly one of `map`, `filter`, `branch`, `accumulate`."""

    version: str | None = None
    """Accepted for AIO's sake."""
    datasets: tuple[Dataset, ...] = Field((), max_length=RULES_MAX)
    """What messages are enriched with."""
    map: tuple[MapRule, ...] | None = Field(None, max_length=RULES_MAX)
    """Rules of a map, applied in their order."""
    filter: tuple[FilterRule, ...] | None = Field(None, max_length=RULES_MAX)
    """Rules of a filter: a message for which any is true is dropped."""
    branch: BranchRule | None = None
    """The rule of a branch."""
    accumulate: tuple[AccumulateRule, ...] | None = Field(None, max_length=RULES_MAX)
    """Rules of a window: the figures of the message it makes."""
    validate_schema: bool = False
    """With `filter`: drop what does not fit the connection's schema."""


class TopicThrottle(Options):
    """How often messages of some topics pass."""

    topic: str = Field(min_length=1, max_length=65535)
    """Topic filter, `+` and `#` allowed. All its topics share one allowance."""
    max_messages_per_second: float = Field(ge=0, allow_inf_nan=False)
    """At most so many pass, evenly spaced; 0 drops them all."""


class Throttle(Options):
    """How often messages pass, by topic; the first that fits counts, and what fits none passes."""

    per_topic_throttles: tuple[TopicThrottle, ...] = Field(max_length=RULES_MAX)
    """In the order in which they are tried."""


class WindowDelay(Options):
    """A window of fixed length, aligned to multiples of it."""

    type: Literal["duration"]
    """The only one."""
    delay_seconds: int = Field(gt=0, lt=2**53)
    """Its length."""


class WindowSliding(Options):
    """Overlapping windows of one length, aligned to multiples of `every`. flowrt's own."""

    length: Seconds = Field(gt=0, le=31 * 86_400)
    """How far back each window reaches."""
    every: Seconds = Field(ge=0.001, le=31 * 86_400)
    """How often one ends: `length` at most, and a thousandth of it at least."""


class WindowSession(Options):
    """A window that ends once nothing came for a while. flowrt's own."""

    gap: Seconds = Field(gt=0, le=31 * 86_400)
    """So long."""
    longest: Seconds = Field(86_400.0, gt=0, le=31 * 86_400)
    """It ends after this time even if messages still come."""


class WindowCount(Options):
    """Closes a window by its number of messages."""

    type: Literal["messageCount"]
    """The only one."""
    max_message_count: int = Field(gt=0)
    """At most so many messages."""
    boundary_message: Boundary
    """Whether the message that closes the window belongs to it or begins the next."""


class WindowMemory(Options):
    """Closes a window by the size of its payloads."""

    type: Literal["bufferSize"]
    """The only one."""
    max_buffer_bytes: int = Field(gt=0)
    """Bytes of the payloads together."""
    boundary_message: Boundary
    """Whether the message that closes the window belongs to it or begins the next."""


class TriggerRule(Options):
    """Closes a window by what a message says."""

    inputs: tuple[str, ...] = Field(max_length=INPUTS_MAX)
    """Paths of what becomes `$1`, `$2`, …"""
    trigger: str
    """Gives a boolean: true closes the window."""
    boundary_message: Boundary
    """Whether the message that closes the window belongs to it or begins the next."""


class WindowTriggers(Options):
    """Closes a window by what messages say; the first rule that is true counts."""

    type: Literal["expression"]
    """The only one."""
    rules: tuple[TriggerRule, ...] = Field(max_length=RULES_MAX)
    """Tried in their order, for each message."""
    datasets: tuple[Dataset, ...] = Field((), max_length=RULES_MAX)
    """What messages are enriched with, for the triggers."""
