"""The map transform: a document from a document, and a head from a head, by rules.

Rules are applied in their order, and a later one overwrites what an earlier one wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.documents import detached, encode, put
from flowrt.transforms.enrichment import Enrichment, Lookup
from flowrt.transforms.expression import expression
from flowrt.transforms.heads import HeadWriter, Write
from flowrt.transforms.inputs import MISSING, Formula, Record, Row, document_of, reader
from flowrt.transforms.paths import Path, parse_input, parse_path
from flowrt.transforms.rules import MapRule, Rules
from flowrt.transforms.straight import making
from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.wildcards import ParsedRule, Step, wildcard_step


class MapTransform:
    """Rules at work. Not to be shared between threads: it remembers last values."""

    def __init__(self, rules: Rules, lookup: Lookup) -> None:
        parsed = [_parsed(rule, number) for number, rule in enumerate(rules.map or (), 1)]
        steps = [(rule, _step(rule, rule.output, parsed[rule.number :])) for rule in parsed if rule.output is not None]
        self._steps = [step for _, step in steps]
        self._straight = making(steps) or self._plainly
        self._enrichment = Enrichment(rules.datasets, lookup)
        self._heads = HeadWriter()

    read = staticmethod(document_of)

    def make(self, document: Record, head: Head) -> tuple[bytes, Head, Record]:
        """The message that one becomes, and its document. Raises `NodeFault` of kind `format` or `expression`."""
        try:
            records = self._enrichment.of(document)
            try:
                out, writes = self._straight(document, head, records)
            except (ExpressionError, NodeFault, OverflowError):  # the steps have the words for it, if it is a fault
                out, writes = self._plainly(document, head, records)
        except RecursionError:
            raise NodeFault("format", "the payload's JSON is nested too deeply") from None
        return encode(out), self._heads.written(head, writes) if writes else head, out

    def _plainly(
        self, document: Record, head: Head, records: Mapping[str, Record | None]
    ) -> tuple[dict[str, Any], list[Write]]:
        """One rule after the other."""
        row = Row(document, head, records)
        out: dict[str, Any] = {}
        writes: list[Write] = []
        for step in self._steps:
            step(row, out, writes)
        return out, writes


def _parsed(rule: MapRule, number: int) -> ParsedRule:
    inputs = tuple(map(parse_input, rule.inputs))
    output = parse_path(rule.output) if rule.output else None
    formula = None
    if rule.expression is not None:
        where = f"map rule {number} ({rule.description or 'to ' + rule.output})"
        formula = Formula(where, expression(rule.expression, len(inputs)), inputs, required=False)
    return ParsedRule(number, inputs, output, formula)


def _step(rule: ParsedRule, output: Path, later: Sequence[ParsedRule]) -> Step:
    """What a rule does; nothing for messages of which a dataset that it reads holds nothing."""
    step = wildcard_step(rule, output, later) if rule.wildcard else _single(rule, output)
    aliases = {given.path.alias for given in rule.inputs if given.path.place == "context"}
    if not aliases:
        return step

    def enriched(row: Row, out: dict[str, Any], writes: list[Write]) -> None:
        if all(row.records.get(alias) is not None for alias in aliases):
            step(row, out, writes)

    return enriched


def _single(rule: ParsedRule, output: Path) -> Step:
    """A rule of one field."""
    if rule.formula is not None:
        evaluate, write = rule.formula.evaluate, _writer(output)

        def computed(row: Row, out: dict[str, Any], writes: list[Write]) -> None:
            write(out, writes, evaluate(row))

        return computed
    read, segments = reader(rule.inputs[0]), output.segments
    if output.place != "payload":
        write = _writer(output)
        return lambda row, out, writes: write(out, writes, None if (found := read(row)) is MISSING else found)

    def copied(row: Row, out: dict[str, Any], _: list[Write]) -> None:
        value = read(row)
        if value is not MISSING:
            put(out, segments, detached(value))

    return copied


def _writer(output: Path) -> Callable[[dict[str, Any], list[Write], Any], None]:
    """Writes a result; an empty one leaves a field unwritten and takes metadata away."""
    segments = output.segments
    if output.place != "payload":
        key = segments[0] if segments else ""
        return lambda _, writes, value: writes.append((output.place, key, value))
    if len(segments) == 1:
        (only,) = segments

        def write(out: dict[str, Any], _: list[Write], value: Any) -> None:
            if value is not None:
                out[only] = value

        return write
    return lambda out, _, value: None if value is None else put(out, segments, value)
