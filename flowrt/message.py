"""Messages, as they travel: in columns.

A stage never handles one message at a time. It handles a `Batch`: five equally long columns whose row *i* is one
message. A node that turns each message into one other message shares four columns by reference and replaces one, so the
cost of a hop does not depend on how many attributes a message has (docs/decisions/001-batches-are-columns.md).

Columns are never changed in place once a batch has been handed on: a batch may be shared by several connections.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress, pairwise
from typing import TYPE_CHECKING

from flowrt.values import Struct, replace

if TYPE_CHECKING:
    from flowrt.delivery.tracker import Tracker

TENSOR_BYTES = {
    "f16": 2, "f32": 4, "f64": 8, "bf16": 2, "u8": 1, "i8": 1, "u16": 2, "i16": 2,
    "u32": 4, "i32": 4, "u64": 8, "i64": 8, "bool": 1,
}  # fmt: skip
"""Bytes of one element, by tensor type."""


class Tensor(Struct, frozen=True):
    """The type of one tensor in a payload: its bytes are little-endian, row-major, without padding."""

    name: str
    type: str
    shape: tuple[int, ...]

    @property
    def bytes(self) -> int:
        size = TENSOR_BYTES[self.type]
        for extent in self.shape:
            size *= extent
        return size

    def __str__(self) -> str:
        return f"{self.name}: {self.type}[{', '.join(map(str, self.shape))}]"


class Head(Struct, frozen=True, eq=False):
    """Everything about a message but its payload and its time. Heads are shared: a source makes one a topic.

    `eq=False`: heads are compared and hashed by identity, so that a per-head cache costs one dictionary look-up.
    """

    topic: str
    content_type: str | None = None
    properties: tuple[tuple[str, str], ...] = ()
    """User properties in the order received; a key may occur more than once."""
    response_topic: str | None = None
    correlation: bytes | None = None
    schema: str | None = None
    retain: bool = False
    timestamp: tuple[int, int, str] | None = None
    """The sender's hybrid logical clock (milliseconds, counter, node id), or None: then the time of arrival."""
    tensors: tuple[Tensor, ...] = ()
    """What the payload holds, when it holds tensors: their bytes one after the other."""

    def with_(self, **changes: object) -> Head:
        """A copy with some attributes replaced."""
        return replace(self, **changes)


class SharedHeads:
    """Gives the same head for messages alike in all of it, wherever heads are read or made anew.

    Much is remembered by head (envelopes, guests' tables): with a new one each time, those memories fill up, slowly.
    """

    def __init__(self, most: int = 4096) -> None:
        """`most`: heads remembered."""
        self._most = most
        self._known: dict[tuple[object, ...], Head] = {}

    def same(self, head: Head) -> Head:
        """A head seen before that says the same, or this one."""
        if len(self._known) >= self._most:
            self._known.clear()
        return self._known.setdefault(tuple(getattr(head, name) for name in Head.__struct_fields__), head)


class Message(Struct, frozen=True):
    """One row of a batch, for the places that are not in a hurry: dead letters, tests, the live view."""

    head: Head
    payload: bytes
    time: int = 0
    """Logical time: milliseconds since the epoch << 20 | counter (docs/decisions/002-logical-time.md)."""


_SMALL = 8192
"""Payloads of so many bytes at most are joined to be counted: copying a hundred bytes is quicker than asking for their
number."""
UNKNOWN = 2**63
"""Larger than any payload."""


class Batch(Struct, eq=False):
    """Messages of one source, in order, as columns."""

    heads: Sequence[Head]
    payloads: Sequence[bytes]
    times: Sequence[int]
    """Logical time of each message; `delay` may advance it."""
    born: Sequence[float]
    """When each message was read, on the monotonic clock in seconds, for the end-to-end latency."""
    seqs: Sequence[int]
    """What each row answers for at `tracker`. A `range` while a source's batch is whole: the tracker is fast then."""
    tracker: Tracker | None = None
    """Who waits for these rows to be settled; None where the source cannot be told (QoS 0)."""
    largest: int = UNKNOWN
    """Bytes that no payload is larger than, as far as somebody has looked: not every node has to look again."""
    size: int = -1
    """Bytes of all payloads together, where somebody has counted them; see `counted`."""

    def __len__(self) -> int:
        return len(self.payloads)

    def counted(self) -> int:
        """Bytes of all payloads together."""
        if self.size < 0:
            small = self.largest <= _SMALL
            self.size = len(b"".join(self.payloads)) if small else sum(map(len, self.payloads))
        return self.size

    def __eq__(self, other: object) -> bool:
        """Whether they are the same messages; what somebody knows of their sizes says nothing about that."""
        if not isinstance(other, Batch):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in _SAID)

    def with_payloads(self, payloads: Sequence[bytes], heads: Sequence[Head] | None = None) -> Batch:
        """The same messages with other contents, one for one."""
        return Batch(self.heads if heads is None else heads, payloads, self.times, self.born, self.seqs, self.tracker)

    def select(self, keep: Sequence[object]) -> Batch:
        """The rows whose entry in `keep` is true; `keep` is as long as the batch."""
        return Batch(
            list(compress(self.heads, keep)),
            list(compress(self.payloads, keep)),
            list(compress(self.times, keep)),
            list(compress(self.born, keep)),
            list(compress(self.seqs, keep)),
            self.tracker,
            self.largest,
        )

    def take(self, rows: Iterable[int]) -> Batch:
        """The given rows, in the given order, repeats allowed."""
        rows = list(rows)
        return self.become(rows, list(map(self.payloads.__getitem__, rows)))

    def become(self, rows: Sequence[int], payloads: Sequence[bytes], heads: Sequence[Head] | None = None) -> Batch:
        """Messages made of the given rows, in that order, repeats allowed: with these payloads, and the heads of their
        rows unless there are others."""
        if len(self.payloads) == 1:
            return self._multiply(payloads, heads)
        return Batch(
            list(map(self.heads.__getitem__, rows)) if heads is None else heads,
            payloads,
            list(map(self.times.__getitem__, rows)),
            list(map(self.born.__getitem__, rows)),
            list(map(self.seqs.__getitem__, rows)),
            self.tracker,
        )

    def _multiply(self, payloads: Sequence[bytes], heads: Sequence[Head] | None) -> Batch:
        """What its only message becomes."""
        count, seqs = len(payloads), [*self.seqs]
        if heads is None:
            heads = [*self.heads] * count
        return Batch(heads, payloads, [*self.times] * count, [*self.born] * count, seqs * count, self.tracker)

    def slice(self, start: int, stop: int) -> Batch:
        """Rows start to stop; a `range` of seqs stays one."""
        return Batch(
            self.heads[start:stop],
            self.payloads[start:stop],
            self.times[start:stop],
            self.born[start:stop],
            self.seqs[start:stop],
            self.tracker,
            self.largest,
        )

    def rows(self) -> Iterable[Message]:
        return map(Message, self.heads, self.payloads, self.times)

    def row(self, index: int) -> Message:
        return Message(self.heads[index], self.payloads[index], self.times[index])


_SAID = tuple(name for name in Batch.__struct_fields__ if name not in {"largest", "size"})
"""What makes two batches the same."""


def join(batches: Sequence[Batch]) -> Batch:
    """One batch of several that share a tracker, in their order. The caller checks that they do."""
    if len(batches) == 1:
        return batches[0]
    first = batches[0]
    return Batch(
        [head for batch in batches for head in batch.heads],
        [payload for batch in batches for payload in batch.payloads],
        [time for batch in batches for time in batch.times],
        [born for batch in batches for born in batch.born],
        _join_seqs([batch.seqs for batch in batches]),
        first.tracker,
        max(batch.largest for batch in batches),
        sum(batch.counted() for batch in batches),
    )


def _join_seqs(parts: Sequence[Sequence[int]]) -> Sequence[int]:
    """Neighbouring ranges stay a range; anything else becomes a list."""
    first, last = parts[0], parts[-1]
    if all(isinstance(part, range) for part in parts) and all(
        before[-1] + 1 == after[0] for before, after in pairwise(parts)
    ):
        return range(first[0], last[-1] + 1)
    return [seq for part in parts for seq in part]
