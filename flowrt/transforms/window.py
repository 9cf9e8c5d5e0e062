"""The window transform: messages folded into one, by figures. Time is handed in, in seconds since the epoch.

A window ends at the next multiple of its length, or, as a session, once nothing came for a while, or with the message
that reaches a bound. Bounds are tried for each
message in the order memory, count, triggers; the first that is reached decides whether the message still belongs to
the window (`messageInCurrent`) or begins the next (`messageInNext`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowrt.message import Head
from flowrt.transforms.columns import Columns, History
from flowrt.transforms.enrichment import Enrichment, Lookup
from flowrt.transforms.expression import expression
from flowrt.transforms.figures import Closed, Figure, document
from flowrt.transforms.inputs import MISSING, Formula, Row, document_of, reader
from flowrt.transforms.paths import parse_input
from flowrt.transforms.rules import Boundary, TriggerRule
from flowrt.transforms.settings import Settings
from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.types import Scope
from flowrt.transforms.values import BOOL, bound

SAFETY_SECONDS = 60
"""Length of a window for which no `delay` is given."""


class WindowTransform:
    """One window after another. Whoever feeds it calls `close_due` before each `take`, and when `due` has come."""

    def __init__(self, settings: Settings, lookup: Lookup) -> None:
        self._settings = settings
        self._seconds = settings.delay.delay_seconds if settings.delay else SAFETY_SECONDS
        self._session = settings.session
        self._figures = [Figure(rule) for rule in settings.rules.accumulate or ()]
        self._columns = self._empty()
        triggers = settings.triggers
        self._triggers = [_Trigger(rule, number) for number, rule in enumerate(triggers.rules if triggers else (), 1)]
        self._enrichment = Enrichment(triggers.datasets if triggers else (), lookup)
        self.due: float | None = None
        """When the open window ends; None without one."""
        self._opened = 0.0
        self._messages = 0
        self._bytes = 0

    @property
    def held(self) -> int:
        """How many of the last messages the open window holds."""
        return self._messages

    def take(self, payload: bytes, head: Head, now: float) -> list[Closed]:
        """Fold a message in. Raises `NodeFault` for one that it cannot read, which then belongs to no window."""
        found = document_of(payload)
        row = Row(found, head, self._enrichment.of(found))
        values = [trigger.read(row) for trigger in self._triggers]
        boundary = self._boundary(len(payload), values)
        closed = [self._close()] if boundary == "messageInNext" and self._messages else []
        self._add(row, len(payload), values, now)
        return [*closed, self._close()] if boundary == "messageInCurrent" else closed

    def close_due(self, now: float) -> list[Closed]:
        """The window that time has ended, if it has."""
        return [self._close()] if self.due is not None and now >= self.due else []

    def flush(self) -> list[Closed]:
        """The open window, of a source that ends."""
        return [self._close()] if self.due is not None else []

    def _boundary(self, size: int, values: Sequence[Sequence[Any]]) -> Boundary | None:
        memory, count = self._settings.memory, self._settings.count
        if memory and _reached(self._bytes + size, memory.max_buffer_bytes, memory.boundary_message):
            return memory.boundary_message
        if count and _reached(self._messages + 1, count.max_message_count, count.boundary_message):
            return count.boundary_message
        for trigger, found in zip(self._triggers, values, strict=True):
            if trigger.fires(found):
                return trigger.boundary
        return None

    def _add(self, row: Row, size: int, values: Sequence[Sequence[Any]], now: float) -> None:
        read = [figure.read(row) for figure in self._figures]
        if self.due is None:
            self._opened = now
            self.due = (now // self._seconds + 1) * self._seconds
        if self._session is not None:
            self.due = min(now + self._session.gap, self._opened + self._session.longest)
        for columns, figures in zip(self._columns, read, strict=True):
            columns.add(figures)
        for trigger, found in zip(self._triggers, values, strict=True):
            trigger.add(found)
        self._messages += 1
        self._bytes += size

    def _close(self) -> Closed:
        self.due, self._messages, self._bytes = None, 0, 0
        for trigger in self._triggers:
            trigger.reset()
        columns, self._columns = self._columns, self._empty()
        return document(self._figures, columns)

    def _empty(self) -> list[Columns]:
        return [Columns(figure.inputs) for figure in self._figures]


def _reached(value: int, most: int, boundary: Boundary) -> bool:
    """Whether a message reaches a bound. One that begins the next window does so when it would exceed this one's."""
    return value >= most if boundary == "messageInCurrent" else value > most


class _Trigger:
    """One trigger and what it remembers of the open window."""

    def __init__(self, rule: TriggerRule, number: int) -> None:
        inputs = [parse_input(text) for text in rule.inputs]
        self.boundary = rule.boundary_message
        known = expression(rule.trigger, len(inputs), Scope.TRIGGER, BOOL)
        self._run = known.run
        self._formula = Formula(f"trigger {number}", known, inputs, required=False)
        self._readers = [reader(given) for given in inputs]
        self._history = History(len(inputs))

    def read(self, row: Row) -> list[Any]:
        """The values of its inputs. Raises `NodeFault`."""
        try:
            found = [read(row) for read in self._readers]
            return [None if value is MISSING else bound(value, number) for number, value in enumerate(found, 1)]
        except ExpressionError as error:
            raise self._formula.fault(str(error), self._readers) from None

    def fires(self, values: Sequence[Any]) -> bool:
        try:
            found = self._run([*values, self._history])
        except ExpressionError as error:
            raise self._formula.fault(str(error), values) from None
        if type(found) is not bool:
            raise self._formula.fault("the result is no boolean", values)
        return found

    def add(self, values: Sequence[Any]) -> None:
        self._history.add(values)

    def reset(self) -> None:
        self._history = History(len(self._readers))
