"""Logical times as integers, and hybrid logical clocks as text.

A logical time is milliseconds since the epoch << 20 | counter (docs/decisions/002-logical-time.md). A sender's own
clock travels as a `Stamp` and, in MQTT's user property `__ts`, as `milliseconds:counter:node`.
"""

from __future__ import annotations

COUNTER_BITS = 20
COUNTER_MAX = (1 << COUNTER_BITS) - 1
START = 0
"""Before all times."""
END = 1 << 84
"""Behind all times: the mark of an input that has ended."""
TIMESTAMP = "__ts"
"""User property with the sender's clock."""

DRIFT_MS = 60_000
"""How far ahead of ours a sender's clock may be. One further ahead is not believed."""
NODE_ID = "flowrt"
"""Of clocks that no sender gave."""

Stamp = tuple[int, int, str]
"""A hybrid logical clock: milliseconds since the epoch, counter, node id."""


def logical(milliseconds: int, counter: int = 0) -> int:
    """The logical time of a clock; a counter that is too large counts as the largest."""
    return milliseconds << COUNTER_BITS | min(counter, COUNTER_MAX)


def milliseconds(time: int) -> int:
    return time >> COUNTER_BITS


def own_stamp(time: int) -> Stamp:
    """The clock of a message whose sender gave none."""
    return time >> COUNTER_BITS, time & COUNTER_MAX, NODE_ID


def parse_stamp(text: str) -> Stamp | None:
    """`000001700000000:00003:node` -> (1700000000, 3, "node"); None for any other text."""
    first, _, rest = text.partition(":")
    second, separator, node = rest.partition(":")
    if not separator or not _is_number(first) or not _is_number(second):
        return None
    return int(first), int(second), node


def format_stamp(stamp: Stamp) -> str:
    """The text of a clock, as AIO's brokers and operators write it."""
    return f"{stamp[0]:015}:{stamp[1]:05}:{stamp[2]}"


def with_stamp(properties: tuple[tuple[str, str], ...], stamp: Stamp) -> tuple[tuple[str, str], ...]:
    """User properties with that clock in the place of the one that stands there."""
    return (*((key, value) for key, value in properties if key != TIMESTAMP), (TIMESTAMP, format_stamp(stamp)))


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 20
