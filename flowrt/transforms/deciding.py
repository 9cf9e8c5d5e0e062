"""The filter and branch transforms: a yes or no for each message."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.enrichment import Enrichment, Lookup
from flowrt.transforms.expression import expression
from flowrt.transforms.inputs import Formula, Row, document_of
from flowrt.transforms.paths import parse_input
from flowrt.transforms.rules import BranchRule, FilterRule, Rules
from flowrt.transforms.shared import shared
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
        self._reads = reads or bool(rules.datasets) or "payload" in inputs
        self._enrichment = Enrichment(rules.datasets, lookup)

    def document(self, payload: bytes) -> dict[str, Any]:
        """The payload's object; empty, and the payload not looked at, where no condition reads it."""
        if not self._reads:
            return {}
        document = document_of(payload)
        shared.put(payload, document)  # the message goes on as it is
        return document

    def any(self, document: dict[str, Any], head: Head) -> bool:
        """Whether one is true. A condition on a dataset that holds nothing of the message is left out."""
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

    def drops(self, payload: bytes, head: Head) -> bool:
        """Raises `NodeFault` of kind `format` or `expression`; a field that is missing is such a fault."""
        try:
            document = self._conditions.document(payload)
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

    def arm(self, payload: bytes, head: Head) -> bool:
        """Raises `NodeFault` as a filter does."""
        return self._conditions.any(self._conditions.document(payload), head)


def _formula(kind: str, rule: FilterRule | BranchRule, number: int) -> Formula:
    where = f"{kind} rule {number}" if kind == "filter" else kind
    where += f" ({rule.description})" if rule.description else ""
    inputs = [parse_input(text) for text in rule.inputs]
    run = expression(rule.expression, len(inputs), wanted=BOOL).run
    return Formula(where, rule.expression, inputs, run, required=True)
