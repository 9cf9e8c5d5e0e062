"""Keys by which a consumer knows a message that it had before: the same for a redelivery, also after a crash.

A source gives each message an identity, from what came with it and nothing else: no counter, no clock, nothing that
another run would give differently. It travels in the user properties. A sink makes the key of it, its own name and
where the message stands among those that were made of the same source message.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from flowrt.message import Batch, Head

IDENTITY = "flowrt-id"
"""User property with the identity, inside a graph."""
KEY = "idempotency-key"
"""User property with the key, on what sinks send; on what comes in, it is the identity."""
_BYTES = 16


def identified(batch: Batch) -> Batch:
    """The messages with their identity."""
    heads = [
        head.with_(properties=(*head.properties, (IDENTITY, identity_of(head, payload))))
        for head, payload in zip(batch.heads, batch.payloads, strict=True)
    ]
    return batch.with_payloads(batch.payloads, heads)


def identified_results(batch: Batch, where: str) -> Batch:
    """Messages that a node made of many, with an identity of their own: two windows may give the same. `where` names
    the node. What has one keeps it: it has left before, and comes from the disk."""
    heads = []
    for place, (head, payload, time) in enumerate(zip(batch.heads, batch.payloads, batch.times, strict=True)):
        known = any(name == IDENTITY for name, _ in head.properties)
        mine = _digest(where, str(time), str(place), payload)
        heads.append(head if known else head.with_(properties=(*head.properties, (IDENTITY, mine))))
    return batch.with_payloads(batch.payloads, heads)


def identity_of(head: Head, payload: bytes) -> str:
    """The key that the sender gave, or a digest of all that came: topic, payload, properties, the sender's clock. Two
    messages that are alike in all of these cannot be told apart, so readings should carry a time or a counter."""
    for name, value in head.properties:
        if name == KEY:
            return value
    about = (head.topic, head.content_type, head.correlation, head.timestamp, head.properties)
    return _digest(repr(about), payload)


class Keys:
    """Gives the messages of one sink their keys. Used by its stage's thread only."""

    def __init__(self, graph: str, sink: str, *, give: bool = True) -> None:
        """Without `give` it only takes identities away."""
        self._give = give
        self._where = f"{graph}/{sink}"
        self._last: tuple[str, int, object] | None = None
        self._count = 0

    def keyed(self, batch: Batch) -> Batch:
        """The messages with their keys in place of their identities."""
        heads = [
            self._keyed(head, payload, seq, batch.tracker)
            for head, payload, seq in zip(batch.heads, batch.payloads, batch.seqs, strict=True)
        ]
        return batch.with_payloads(batch.payloads, heads)

    def _keyed(self, head: Head, payload: bytes, seq: int, tracker: object) -> Head:
        if not self._give:
            return head.with_(properties=tuple(pair for pair in head.properties if pair[0] != IDENTITY))
        identity = next((value for name, value in head.properties if name == IDENTITY), None)
        if identity is None:  # a guest left the properties out
            identity = identity_of(head, payload)
        # Several messages made of one stand together, and answer for the same number: a redelivery has another.
        same = self._last is not None and self._last == (identity, seq, tracker)
        self._count = self._count + 1 if same else 0
        self._last = (identity, seq, tracker)
        key = _digest(self._where, identity, str(self._count))
        rest = tuple(pair for pair in head.properties if pair[0] not in (IDENTITY, KEY))
        return head.with_(properties=(*rest, (KEY, key)))


def wants_keys(operations: Sequence[object]) -> bool:
    """Whether some sink among these does."""
    return any(getattr(operation, "idempotency_key", False) for operation in operations)


def _digest(*parts: str | bytes) -> str:
    digest = blake2b(digest_size=_BYTES)
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()
