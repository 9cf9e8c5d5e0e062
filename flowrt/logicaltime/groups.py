"""What shares a logical time, until the frontier has passed it."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush
from typing import Generic, TypeVar

Group = TypeVar("Group")


class Groups(Generic[Group]):
    """One group a logical time; they leave in the order of their times, each once."""

    def __init__(self) -> None:
        self._groups: dict[int, Group] = {}
        self._times: list[int] = []

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[tuple[int, Group]]:
        return iter(self._groups.items())

    def get(self, time: int) -> Group | None:
        return self._groups.get(time)

    def open(self, time: int, group: Group) -> Group:
        """A group for a time that has none."""
        self._groups[time] = group
        heappush(self._times, time)
        return group

    def first(self) -> int | None:
        """The smallest time that has a group."""
        return self._times[0] if self._times else None

    def times_before(self, frontier: int) -> list[int]:
        """The times that the frontier has passed, in order."""
        return sorted(time for time in self._groups if time < frontier)

    def passed(self, frontier: int) -> Iterator[tuple[int, Group]]:
        """The groups that nothing can join any more, in order. Each is taken out as it is given."""
        while self._times and self._times[0] < frontier:
            time = heappop(self._times)
            yield time, self._groups.pop(time)
