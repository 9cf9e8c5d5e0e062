"""The map transform: a document from a document, and a head from a head, by rules.

Rules are applied in their order, and a later one overwrites what an earlier one wrote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.documents import detached, encode, put
from flowrt.transforms.enrichment import Enrichment, Lookup
from flowrt.transforms.expression import expression
from flowrt.transforms.heads import HeadWriter, Write
from flowrt.transforms.inputs import MISSING, Formula, Row, document_of, reader
from flowrt.transforms.paths import Path, parse_input, parse_path
from flowrt.transforms.rules import MapRule, Rules
from flowrt.transforms.shared import shared
from flowrt.transforms.wildcards import ParsedRule, Step, wildcard_step


class MapTransform:
    """Rules at work. Not to be shared between threads: it remembers last values."""

    def __init__(self, rules: Rules, lookup: Lookup) -> None:
        parsed = [_parsed(rule, number) for number, rule in enumerate(rules.map or (), 1)]
        self._steps = [_step(rule, rule.output, parsed[rule.number :]) for rule in parsed if rule.output is not None]
        self._enrichment = Enrichment(rules.datasets, lookup)
        self._heads = HeadWriter()

    def apply(self, payload: bytes, head: Head) -> tuple[bytes, Head]:
        """The message that a message becomes. Raises `NodeFault` of kind `format` or `expression`."""
        try:
            document = document_of(payload)
            row = Row(document, head, self._enrichment.of(document))
            out: dict[str, Any] = {}
            writes: list[Write] = []
            for step in self._steps:
                step(row, out, writes)
        except RecursionError:
            raise NodeFault("format", "the payload's JSON is nested too deeply") from None
        made = encode(out)
        shared.put(made, out)
        return made, self._heads.written(head, writes) if writes else head


def _parsed(rule: MapRule, number: int) -> ParsedRule:
    inputs = tuple(map(parse_input, rule.inputs))
    output = parse_path(rule.output) if rule.output else None
    formula = None
    if rule.expression is not None:
        where = f"map rule {number} ({rule.description or 'to ' + rule.output})"
        run = expression(rule.expression, len(inputs)).run
        formula = Formula(where, rule.expression, inputs, run, required=False)
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
