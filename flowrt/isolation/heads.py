"""Heads by number on either side of a channel: each is told once, most batches name numbers alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowrt.isolation.frame import HEADS_MAX, BadFrame, head_from_json, head_to_json
from flowrt.message import Head


class HeadsOut:
    """Heads as they are told."""

    def __init__(self) -> None:
        self._numbers: dict[Head, int] = {}

    def tell(self, columns: Sequence[Sequence[Head]]) -> tuple[dict[str, Any], list[list[int]]]:
        """What to tell first, and the numbers of the heads of each column."""
        numbers, new = self._numbers, dict.fromkeys(head for heads in columns for head in heads)
        forget = len(numbers) > HEADS_MAX
        if forget:
            numbers.clear()
        told = []
        for head in new:
            if head not in numbers:
                numbers[head] = len(numbers)
                told.append(head_to_json(head))
        return {"forget": forget, "heads": told}, [[numbers[head] for head in heads] for heads in columns]

    def clear(self) -> None:
        self._numbers.clear()


class HeadsIn:
    """Heads as they were told."""

    def __init__(self) -> None:
        self._heads: list[Head] = []

    def learn(self, about: dict[str, Any]) -> None:
        """Raises `BadFrame`."""
        if about.get("forget"):
            self._heads.clear()
        told = about.get("heads", [])
        if not isinstance(told, list) or len(self._heads) + len(told) > 64 * HEADS_MAX:
            raise BadFrame("heads are told in no list, or too many")
        self._heads.extend(map(head_from_json, told))

    def take(self, numbers: Sequence[int]) -> list[Head]:
        """Raises `BadFrame`."""
        try:
            return [self._heads[number] for number in numbers]
        except IndexError:
            raise BadFrame("a head was never told") from None

    def clear(self) -> None:
        self._heads.clear()
