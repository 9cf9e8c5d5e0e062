"""What a node keeps, as entries to be put on disk: changes are collected in memory until they are taken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Changes(NamedTuple):
    """Entries to write and keys to delete."""

    puts: Mapping[bytes, bytes]
    deletes: tuple[bytes, ...]


class Journal:
    """Entries by key. One that is put and deleted before the changes are taken is never written."""

    def __init__(self) -> None:
        self._puts: dict[bytes, bytes] = {}
        self._deletes: set[bytes] = set()
        self._durable: set[bytes] = set()
        """Keys that are on disk, or on their way."""

    def put(self, key: bytes, value: bytes) -> None:
        self._puts[key] = value
        self._deletes.discard(key)

    def delete(self, key: bytes) -> None:
        self._puts.pop(key, None)
        if key in self._durable:
            self._deletes.add(key)

    def take(self) -> Changes:
        """The changes since the last call."""
        changes = Changes(self._puts, tuple(self._deletes))
        self._durable.update(self._puts)
        self._durable -= self._deletes
        self._puts, self._deletes = {}, set()
        return changes

    def resume(self, keys: Mapping[bytes, bytes]) -> None:
        """These are on disk."""
        self._durable.update(keys)

    def clear(self) -> None:
        """Nothing is on disk any more, and nothing is to be."""
        self._puts, self._deletes, self._durable = {}, set(), set()

    def __bool__(self) -> bool:
        return bool(self._puts or self._deletes)
