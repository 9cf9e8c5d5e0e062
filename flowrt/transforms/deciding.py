"""The filter and branch transforms: a yes or no for each message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.enrichment import Enrichment, Lookup
from flowrt.transforms.expression import expression
from flowrt.transforms.inputs import Formula, Record, Row, document_of
from flowrt.transforms.paths import parse_input
from flowrt.transforms.rules import BranchRule, FilterRule, Rules
from flowrt.transforms.straight import deciding
from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.values import BOOL

Conforms = Callable[[Any], bool]
"""Whether a document fits the schema of the connection it came by."""


class Conditions:
    """Conditions of which any may be true. Not to be shared between threads: it remembers last values."""

    def __init__(
        self, kind: str, conditions: Sequence[FilterRule | BranchRule], rules: Rules, lookup: Lookup, *, reads: bool
    ) -> None:
        self._formulas = [_formula(kind, condition, number) for number, condition in enumerate(conditions, 1)]
        inputs = [parse_input(text).path.place for condition in conditions for text in condition.inputs]
        self.reads = reads or bool(rules.datasets) or "payload" in inputs
        """Whether a payload is looked at."""
        self._enrichment = Enrichment(rules.datasets, lookup)
        self._straight = deciding(self._formulas) or self._plainly

    def read(self, payload: bytes) -> Record:
        """The payload's object; empty, and the payload not looked at, where no condition reads it."""
        return document_of(payload) if self.reads else {}

    def any(self, document: Record, head: Head) -> bool:
        """Whether one is true. A condition on a dataset that holds nothing of the message is left out."""
        try:
            return self._straight(document, head)
        except (ExpressionError, NodeFault, OverflowError):  # the formulas have the words for it, if it is a fault
            return self._plainly(document, head)

    def _plainly(self, document: Record, head: Head) -> bool:
        """One condition after the other."""
        row = Row(document, head, self._enrichment.of(document))
        for formula in self._formulas:
            if formula.aliases and any(row.records.get(alias) is None for alias in formula.aliases):
                continue
            found = formula.evaluate(row)
            if found is True:
                return True
            if found is not False:
                raise formula.fault("the result is no boolean")
        return False


class FilterTransform:
    """Drops the messages for which any rule is true, and those that do not fit the schema."""

    def __init__(self, rules: Rules, lookup: Lookup, conforms: Conforms | None = None) -> None:
        self._conditions = Conditions("filter", rules.filter or (), rules, lookup, reads=conforms is not None)
        self._conforms = conforms
        self.read, self.reads = self._conditions.read, self._conditions.reads

    def drops(self, document: Record, head: Head) -> bool:
        """Raises `NodeFault` of kind `format` or `expression`; a field that is missing is such a fault."""
        try:
            if self._conforms is not None and not self._conforms(document):
                return True
            return self._conditions.any(document, head)
        except RecursionError:
            raise NodeFault("format", "the payload's JSON is nested too deeply") from None


class BranchTransform:
    """Chooses the arm of each message."""

    def __init__(self, rules: Rules, lookup: Lookup) -> None:
        conditions = [] if rules.branch is None else [rules.branch]
        self._conditions = Conditions("branch", conditions, rules, lookup, reads=False)
        self.read, self.reads = self._conditions.read, self._conditions.reads
        self.arm = self._conditions.any
        """Raises `NodeFault` as a filter does."""


def _formula(kind: str, rule: FilterRule | BranchRule, number: int) -> Formula:
    where = f"{kind} rule {number}" if kind == "filter" else kind
    where += f" ({rule.description})" if rule.description else ""
    inputs = [parse_input(text) for text in rule.inputs]
    return Formula(where, expression(rule.expression, len(inputs), wanted=BOOL), inputs, required=True)
