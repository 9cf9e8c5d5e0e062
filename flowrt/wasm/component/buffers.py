"""The `buffer` resource: a payload that stays with the host until the guest reads it.

A guest owns the buffers it was given and may keep them across calls; what they hold counts against the node's memory
quota.
"""

from __future__ import annotations

from flowrt.errors import GuestMisuse, GuestTrap
from flowrt.quota.quantity import format_bytes

KIND = 1
"""Tells our one host resource type from those of WASI."""


class Buffers:
    """The buffers of one instance by number."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held: dict[int, bytes] = {}
        self._size = 0
        self._next = 1

    def add(self, data: bytes) -> int:
        """The number of a new buffer. Raises `GuestTrap` of kind `memory` when the guest keeps too many."""
        if self._size + len(data) > self._limit and self._held:
            limit = format_bytes(self._limit)
            raise GuestTrap("memory", f"it keeps buffers of {format_bytes(self._size)}; its quota is {limit}")
        number, self._next = self._next, self._next % 0xFFFFFFFF + 1
        self._held[number] = data
        self._size += len(data)
        return number

    def read(self, number: int) -> bytes:
        data = self._held.get(number)
        if data is None:
            raise GuestMisuse(f"it named buffer {number}, which is not there")
        return data

    def take(self, number: int) -> bytes:
        """What a buffer held that the guest gave back."""
        data = self.read(number)
        self.drop(number)
        return data

    def drop(self, number: int) -> None:
        """The guest is done with it."""
        self._size -= len(self._held.pop(number, b""))
