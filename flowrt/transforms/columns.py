"""What a window knows of its messages: the columns that aggregation functions fold, and a trigger's running figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.values import NUMBER, equal

_FOLDS: dict[str, Callable[[list[Any]], Any]] = {
    "average": lambda numbers: sum(numbers, 0.0) / len(numbers),
    "sum": lambda numbers: sum(numbers, 0.0),
    "min": min,
    "max": max,
}
"""Of numbers; what is none is left out."""


class Columns:
    """The values of one rule's inputs in a window, missing ones left out."""

    def __init__(self, inputs: int) -> None:
        self._columns: list[list[Any]] = [[] for _ in range(inputs)]

    def add(self, values: Sequence[Any]) -> None:
        """One message; None where it has no value."""
        for column, value in zip(self._columns, values, strict=True):
            if value is not None:
                column.append(value)

    def of(self, name: str, index: int, _now: object) -> Any:
        """What an aggregation function gives."""
        column = self._columns[index]
        if name == "count":
            return len(column)
        if name in _FOLDS:
            column = [value for value in column if type(value) in NUMBER]
        if not column and name != "sum":
            what = "a number" if name in _FOLDS else "a value"
            raise ExpressionError(f"no message of the window has {what} for {name}(${index + 1})")
        if name in ("first", "last"):
            return column[0 if name == "first" else -1]
        return _FOLDS[name](column)


class History:
    """Running figures of one trigger over the messages before the present one, since the window began."""

    def __init__(self, inputs: int) -> None:
        self._messages = 0
        self._previous: list[Any] = [None] * inputs
        """In the message before."""
        self._present: list[Any] = [None] * inputs
        """The last ones that were not empty."""
        self._first: list[Any] = [None] * inputs
        self._counts = [0] * inputs
        self._numbers: list[list[float]] = [[0, 0.0, 0.0, 0.0] for _ in range(inputs)]
        """How many, their sum, the smallest and the largest."""

    def add(self, values: Sequence[Any]) -> None:
        """One message more of the window."""
        self._messages += 1
        self._previous = list(values)
        for index, value in enumerate(values):
            if value is None:
                continue
            self._present[index] = value
            if not self._counts[index]:
                self._first[index] = value
            self._counts[index] += 1
            if type(value) in NUMBER:
                numbers = self._numbers[index]
                numbers[2] = min(numbers[2], value) if numbers[0] else value
                numbers[3] = max(numbers[3], value) if numbers[0] else value
                numbers[0] += 1
                numbers[1] += value

    def of(self, name: str, index: int | None, now: Any) -> Any:
        """What a running function gives for the present message, whose value is `now`."""
        if index is None:
            return self._messages
        count, total, least, most = self._numbers[index]
        match name:
            case "running_count":
                return self._counts[index]
            case "running_sum":
                return total
            case "running_avg":
                return total / count if count else 0.0
            case "running_min":
                return least if count else now
            case "running_max":
                return most if count else now
            case "first":
                return self._first[index] if self._counts[index] else now
            case "prev":
                return self._present[index] if self._counts[index] else now
        return self._messages > 0 and not equal(self._previous[index], now)
