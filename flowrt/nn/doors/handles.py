"""The numbers that guests hold for graphs and contexts: rising, never used twice, bounded in how many live at once."""

from __future__ import annotations

from typing import Generic, TypeVar

from flowrt.nn.faults import ModelFault

T = TypeVar("T")


class Handles(Generic[T]):
    """A table of one kind of thing. A number that was freed stays unknown for ever."""

    def __init__(self, what: str, limit: int) -> None:
        self._what = what
        self._limit = limit
        self._next = 0
        self.live: dict[int, T] = {}
        """By number; one and the same object for as long as the table lives."""

    def check_room(self) -> None:
        """Raises `ModelFault` when no further one may live. Ask before making what is to be added."""
        if len(self.live) >= self._limit or self._next >= 2**32:
            raise ModelFault("too-large", f"{self._limit} {self._what}s are open; free one first")

    def add(self, thing: T) -> int:
        self.check_room()
        handle, self._next = self._next, self._next + 1
        self.live[handle] = thing
        return handle

    def get(self, handle: int) -> T:
        try:
            return self.live[handle]
        except KeyError:
            raise self._unknown(handle) from None

    def remove(self, handle: int) -> T:
        try:
            return self.live.pop(handle)
        except KeyError:
            raise self._unknown(handle) from None

    def clear(self) -> list[T]:
        things = list(self.live.values())
        self.live.clear()
        return things

    def __len__(self) -> int:
        return len(self.live)

    def __contains__(self, handle: int) -> bool:
        return handle in self.live

    def _unknown(self, handle: int) -> ModelFault:
        state = "was freed" if handle < self._next else "does not exist"
        return ModelFault("invalid-argument", f"{self._what} {handle} {state}")
