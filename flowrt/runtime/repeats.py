"""Which messages a broker sends again although they have been kept: those whose acknowledgement it had not read.

A broker that repeats a message of QoS 1 or 2 says so (DUP) and uses its packet identifier again. So a message is known
again by all of: the flag, the identifier, the topic and the payload. What was kept is remembered beside it, in the same
write; a message that cannot be told for certain counts as new, because a message more is better than one less. A broker
that gives identifiers out anew within what is remembered (Mosquitto goes through all 65,535 first) is not trusted.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple
from weakref import WeakKeyDictionary

from flowrt.delivery.tracker import Note, Tracker
from flowrt.state.journal import Journal

REMEMBERED = 8192
"""Messages: more than a broker may have under way, much less than there are identifiers."""
REUSES_MAX = 3
"""After so many identifiers that came anew too early, their broker's repeats are no longer looked at."""
_KEY, _ID, _ORIGIN = 12, 4, 2
"""Bytes of a key; of its beginning that names the identifier, and of that the part that names the connection."""
_MEMORY, _DISTRUST = b"d", b"u"
"""First bytes of entries: keys of messages, connections whose broker is not trusted."""


class _Block(NamedTuple):
    """The messages of one write."""

    number: int
    keys: list[bytes]


class Repeats:
    """The memory of one node. Used by one thread."""

    def __init__(self) -> None:
        self._counts: Counter[bytes] = Counter()
        """How many messages with that key were kept: one that became several here counts so often."""
        self._blocks: deque[_Block] = deque()
        self._size = 0
        self._next = 0
        self._fresh: list[bytes] = []
        self._ids: dict[bytes, Note | None] = {}
        """Identifiers remembered, and the message that had it last in this run."""
        self._again: WeakKeyDictionary[Tracker, Counter[bytes]] = WeakKeyDictionary()
        """By connection, how many of each key have come again over it."""
        self._reuses: Counter[bytes] = Counter()

    def known(self, tracker: Tracker, note: Note) -> bool:
        """Whether a message that came over that connection has been kept before."""
        if not note.again:
            return False
        key = _key(note)
        if self._reuses[key[:_ORIGIN]] >= REUSES_MAX:
            return False
        again = self._again.setdefault(tracker, Counter())
        if again[key] >= self._counts[key]:
            return False
        again[key] += 1
        return True

    def keep(self, tracker: Tracker, note: Note) -> None:
        """A message is kept from here on."""
        key = _key(note)
        ident = key[:_ID]
        if not note.again and ident in self._ids and self._ids[ident] is not note:
            self._reused(key[:_ORIGIN])
        self._ids[ident] = note
        self._counts[key] += 1
        self._fresh.append(key)
        if note.again:  # one more of these would be a repeat of this one, not of this connection's
            self._again.setdefault(tracker, Counter())[key] += 1

    def write(self, journal: Journal) -> None:
        """Put what was kept since the last time beside it, and forget what is too long ago."""
        if not self._fresh:
            return
        self._append(_Block(self._next, self._fresh))
        journal.put(_MEMORY + self._next.to_bytes(8, "big"), b"".join(self._fresh))
        for origin, count in self._reuses.items():
            if count >= REUSES_MAX:
                journal.put(_DISTRUST + origin, b"")
        self._next += 1
        self._fresh = []
        while self._size > REMEMBERED and len(self._blocks) > 1:
            self._forget(self._blocks.popleft(), journal)

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        """Begin with what is on disk."""
        for name in sorted(entries):
            if name[:1] == _MEMORY:
                data = entries[name]
                keys = [data[at : at + _KEY] for at in range(0, len(data) - _KEY + 1, _KEY)]
                self._next = int.from_bytes(name[1:], "big") + 1
                self._append(_Block(self._next - 1, keys))
                self._counts.update(keys)
                self._ids.update(dict.fromkeys((key[:_ID] for key in keys), None))
            elif name[:1] == _DISTRUST:
                self._reuses[name[1:]] = REUSES_MAX

    def _append(self, block: _Block) -> None:
        self._blocks.append(block)
        self._size += len(block.keys)

    def _forget(self, block: _Block, journal: Journal) -> None:
        journal.delete(_MEMORY + block.number.to_bytes(8, "big"))
        self._size -= len(block.keys)
        for key in block.keys:
            self._counts[key] -= 1
            if self._counts[key] <= 0:
                del self._counts[key]
                self._ids.pop(key[:_ID], None)

    def _reused(self, origin: bytes) -> None:
        """The broker of a connection gives an identifier out anew: it has forgotten all that had it before."""
        self._reuses[origin] += 1
        for key in [key for key in self._counts if key[:_ORIGIN] == origin]:
            del self._counts[key]
        for ident in [ident for ident in self._ids if ident[:_ORIGIN] == origin]:
            del self._ids[ident]


def _key(note: Note) -> bytes:
    origin = blake2b(note.origin.encode(), digest_size=_ORIGIN).digest()
    content = blake2b(note.topic.encode() + b"\0" + note.payload, digest_size=_KEY - _ID)
    return origin + note.packet_id + content.digest()
