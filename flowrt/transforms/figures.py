"""The figures of a window: what each reads of a message, and what it gives of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.transforms.columns import Columns
from flowrt.transforms.documents import put
from flowrt.transforms.expression import expression
from flowrt.transforms.inputs import MISSING, Formula, Row, reader
from flowrt.transforms.paths import parse_input, parse_path
from flowrt.transforms.rules import AccumulateRule
from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.types import Scope

Closed = dict[str, Any] | NodeFault
"""What a window gives: its document, or why a figure of it cannot be computed, such as the average of no numbers."""


class Figure:
    """One rule of `accumulate`."""

    def __init__(self, rule: AccumulateRule) -> None:
        inputs = [parse_input(text) for text in rule.inputs]
        self.inputs = len(inputs)
        self.output = parse_path(rule.output).segments
        known = expression(rule.expression, len(inputs), Scope.WINDOW)
        self._run = known.run
        self._formula = Formula(f"the figure '{rule.output}'", known, inputs, required=False)
        self._readers = [reader(given) for given in inputs]

    def read(self, row: Row) -> list[Any]:
        """The values of its inputs in a message; None for one that is missing."""
        return [_plain(read(row)) for read in self._readers]

    def of(self, columns: Columns) -> Any:
        """Its value over a window. Raises `NodeFault`."""
        try:
            return self._run([*[None] * self.inputs, columns])
        except ExpressionError as error:
            raise self._formula.fault(str(error), self._readers) from None


def document(figures: Sequence[Figure], columns: Sequence[Columns]) -> Closed:
    """All figures of a window. One that cannot be computed makes a fault of the whole, or a figure would be missing
    without a word."""
    out: dict[str, Any] = {}
    for figure, column in zip(figures, columns, strict=True):
        try:
            value = figure.of(column)
        except NodeFault as error:
            return error
        if value is not None:
            put(out, figure.output, value)
    return out


def _plain(value: Any) -> Any:
    return None if value is MISSING else value
