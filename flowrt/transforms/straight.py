"""Rules as straight-line Python: one function of all the rules of a transform, for messages in which nothing is odd.

The closures of `compile` say what an expression means and have the words for what goes wrong. The code made here gives
the same for values of the usual kinds and raises `Odd` at anything else (a value of another kind, a result beyond 64
bits): the message is then taken through the closures from the start. So it decides nothing; it saves the calls.

No word of a rule gets into the code: its names, texts and numbers are handed over in variables that are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowrt.message import Head
from flowrt.transforms.inputs import Formula, Record
from flowrt.transforms.paths import InputPath, Path
from flowrt.transforms.straight_code import RAW, Found, TooMuch
from flowrt.transforms.straight_expression import ExpressionCode, certain
from flowrt.transforms.values import ANY, BOOL, EMPTY, STRING
from flowrt.transforms.wildcards import ParsedRule, Step

Decide = Callable[[Record, Head], bool]
Make = Callable[[Record, Head, Mapping[str, Record | None]], tuple[dict[str, Any], list[Any]]]


def deciding(formulas: Sequence[Formula]) -> Decide | None:
    """Whether any condition is true of a document and head; None for conditions that have to be taken apart."""
    if any(formula.aliases for formula in formulas):
        return None
    code = _RulesCode("d", "head")
    try:
        for formula in formulas:
            code.line(f"if {code.needs(code.formula(formula), BOOL)[0]}: return True")
    except TooMuch:
        return None
    code.line("return False")
    made: Decide = code.function()
    return made


def making(rules: Sequence[tuple[ParsedRule, Step]]) -> Make | None:
    """What the rules of a map write for a document, a head and the records of datasets: a document, and metadata."""
    code = _RulesCode("d", "head", "records")
    code.line("out, writes = {}, []")
    try:
        for rule, step in rules:
            code.rule(rule, step)
    except TooMuch:
        return None
    code.line("return out, writes")
    made: Make = code.function()
    return made


class _RulesCode(ExpressionCode):
    """The function of some rules."""

    def __init__(self, *parameters: str) -> None:
        super().__init__(*parameters)
        self._fields: dict[Path, str] = {}

    def formula(self, formula: Formula) -> Found:
        """The value of a formula. An input that may not be looked at is judged all the same, as by the closures."""
        given = self.constant(formula.given)
        values = []
        for number, (path, read) in enumerate(zip(formula.inputs, formula.readers, strict=True), 1):
            if self._plain(path):
                found = self._input(path)
            else:
                self.rows = True
                found = self.set(f"{self.constant(read)}(row)", RAW)
            self.origins[found[0]] = f"{given}({found[0]}, {number})"
            values.append(found)
        looked_at = set(certain(formula.tree))
        for number, found in enumerate(values, 1):
            if number not in looked_at:
                self.needs(found, ANY)
        return self.needs(self.value(formula.tree, values), ANY)

    def rule(self, rule: ParsedRule, step: Step) -> None:
        """What one rule of a map writes. A rule that is more than a field's is left to its own step."""
        output = rule.output
        if output is None or output.place != "payload" or rule.wildcard or rule.reads_records:
            self._step(step)
        elif rule.formula is not None:
            value, kinds = self.formula(rule.formula)
            unless = f"if {value} is not None: " if EMPTY in kinds else ""
            self.line(unless + self._writing(output, value))
        elif self._plain(rule.inputs[0]):
            value, _ = self._input(rule.inputs[0])
            copied = self._writing(output, f"{value} if type({value}) is not dict else detached({value})")
            self.line(f"if {value} is not MISSING: {copied}")
        else:
            self._step(step)

    def _step(self, step: Step) -> None:
        self.rows = True
        self.line(f"{self.constant(step)}(row, out, writes)")

    def _writing(self, output: Path, value: str) -> str:
        if len(output.segments) == 1:
            return f"out[{self.constant(output.segments[0])}] = {value}"
        return f"put(out, {self.constant(output.segments)}, {value})"

    def _plain(self, given: InputPath) -> bool:
        """Whether code can read it. What a reader remembers is known to that reader only."""
        return not given.last and given.path.place in ("payload", "topic")

    def _input(self, given: InputPath) -> Found:
        """What a reader would give of a plain input."""
        if given.path.place == "topic":
            return "head.topic", STRING
        value = self._field(given.path)
        if not given.has_default:
            return value, RAW
        default = self.constant(given.default)
        return self.set(f"{value} if {value} is not MISSING and {value} is not None else {default}", RAW)

    def _field(self, path: Path) -> str:
        """The variable of a field of the message, read once."""
        if path not in self._fields:
            value = self._fields[path] = self.variable()
            first, *inner = map(self.constant, path.segments)
            self.line(f"{value} = get({first}, MISSING)")
            for segment in inner:
                self.line(f"{value} = {value}.get({segment}, MISSING) if type({value}) is dict else MISSING")
        return self._fields[path]
