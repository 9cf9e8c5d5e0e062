"""What can still come, of several inputs: the smallest of their marks."""

from __future__ import annotations

from flowrt.logicaltime.stamps import START


class Frontier:
    """`now`: no message with a smaller time will come from any input. It only ever rises."""

    def __init__(self, inputs: int) -> None:
        self._marks = [START] * inputs
        self.now = START

    def advance(self, place: int, mark: int) -> bool:
        """Input `place` will bring nothing before `mark`; whether that moved the frontier. A smaller mark than one
        before says nothing new."""
        if mark <= self._marks[place]:
            return False
        self._marks[place] = mark
        moved = min(self._marks)
        if moved == self.now:
            return False
        self.now = moved
        return True
