"""Rules as straight-line Python: one function of all the rules of a transform, for messages in which nothing is odd.

The closures of `compile` say what an expression means and have the words for what goes wrong. The code made here gives
the same for values of the usual kinds and raises `Odd` at anything else (a value of another kind, a result beyond 64
bits): the message is then taken through the closures from the start. So it decides nothing; it saves the calls.

No word of a rule gets into the code: its names, texts and numbers are handed over in variables that are counted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from flowrt.message import Head
from flowrt.transforms import mathematics, patterns
from flowrt.transforms.documents import detached, put
from flowrt.transforms.functions import FUNCTIONS, IF, REGEX_MATCHES, SPECIAL
from flowrt.transforms.inputs import MISSING, Formula, Record, Row
from flowrt.transforms.paths import InputPath, Path
from flowrt.transforms.tree import Binary, Call, ExpressionError, Input, Literal, Node, Tuple, Unary, children
from flowrt.transforms.values import (
    ANY,
    BOOL,
    EMPTY,
    FLOAT,
    INT_MAX,
    INT_MIN,
    NUMBER,
    PLAIN,
    STRING,
    TEXT_MAX,
    TUPLE,
    Kinds,
    equal,
    text_of_value,
)
from flowrt.transforms.wildcards import ParsedRule, Step

LINES_MAX = 4000
"""Of one function; rules that need more are taken through the closures. Compiling a line takes about 10 µs."""
INDENT_MAX = 50
"""Blocks in each other: Python takes 100."""
RAW: Kinds = ANY | {dict, list, object}
"""What a message may hold; `object` is what stands for a missing field."""
Decide = Callable[[Record, Head], bool]
Make = Callable[[Record, Head, Mapping[str, Record | None]], tuple[dict[str, Any], list[Any]]]


class Odd(ExpressionError):
    """The message is not for this code."""

    def __init__(self) -> None:
        super().__init__("odd")


class _TooMuch(Exception):
    """Rules that make more code than they are worth."""


def deciding(formulas: Sequence[Formula]) -> Decide | None:
    """Whether any condition is true of a document and head; None for conditions that have to be taken apart."""
    if any(formula.aliases for formula in formulas):
        return None
    code = _Code("d", "head")
    try:
        for formula in formulas:
            code.line(f"if {code.needs(code.formula(formula), BOOL)[0]}: return True")
    except _TooMuch:
        return None
    code.line("return False")
    made: Decide = code.function()
    return made


def making(rules: Sequence[tuple[ParsedRule, Step]]) -> Make | None:
    """What the rules of a map write for a document, a head and the records of datasets: a document, and metadata."""
    code = _Code("d", "head", "records")
    code.line("out, writes = {}, []")
    try:
        for rule, step in rules:
            code.rule(rule, step)
    except _TooMuch:
        return None
    code.line("return out, writes")
    made: Make = code.function()
    return made


Found = tuple[str, Kinds]
"""Variable that holds a value, and of which kinds it may be."""


class _Code:
    """The function while it is written."""

    def __init__(self, *parameters: str) -> None:
        self._given: dict[str, Any] = dict(_NAMES)
        self._head = f"def straight({', '.join(parameters)}):"
        self._lines: list[str] = []
        self._indent = 1
        self._variables = 0
        self._fields: dict[Path, str] = {}
        self._known: dict[str, Kinds] = {}
        """What checks have shown of variables, on the way to where we are."""
        self._bound: dict[str, str] = {}
        """Variables of the message, to those that hold what an expression may have of them."""
        self._origins: dict[str, str] = {}
        """Variables of the message, to the call that makes a value of theirs, or has the words why it is none."""
        self._rows = False

    def line(self, text: str) -> None:
        if len(self._lines) >= LINES_MAX or self._indent > INDENT_MAX:
            raise _TooMuch
        self._lines.append("    " * self._indent + text)

    def function(self) -> Any:
        before = ["    get = d.get"] + (["    row = Row(d, head, records)"] if self._rows else [])
        source = "\n".join([self._head, *before, *self._lines])
        exec(compile(source, "<rules>", "exec"), self._given)  # noqa: S102 - see the top: nothing of a rule is in it
        return self._given["straight"]

    def formula(self, formula: Formula) -> Found:
        """The value of a formula. An input that may not be looked at is judged all the same, as by the closures."""
        given = self._constant(formula.given)
        values = []
        for number, (path, read) in enumerate(zip(formula.inputs, formula.readers, strict=True), 1):
            if self._plain(path):
                found = self._input(path)
            else:
                self._rows = True
                found = self._set(f"{self._constant(read)}(row)", RAW)
            self._origins[found[0]] = f"{given}({found[0]}, {number})"
            values.append(found)
        certain = set(_certain(formula.tree))
        for number, found in enumerate(values, 1):
            if number not in certain:
                self.needs(found, ANY)
        return self.needs(self._value(formula.tree, values), ANY)

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
        self._rows = True
        self.line(f"{self._constant(step)}(row, out, writes)")

    def _writing(self, output: Path, value: str) -> str:
        if len(output.segments) == 1:
            return f"out[{self._constant(output.segments[0])}] = {value}"
        return f"put(out, {self._constant(output.segments)}, {value})"

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
        default = self._constant(given.default)
        return self._set(f"{value} if {value} is not MISSING and {value} is not None else {default}", RAW)

    def _field(self, path: Path) -> str:
        """The variable of a field of the message, read once."""
        if path not in self._fields:
            value = self._fields[path] = self._variable()
            first, *inner = map(self._constant, path.segments)
            self.line(f"{value} = get({first}, MISSING)")
            for segment in inner:
                self.line(f"{value} = {value}.get({segment}, MISSING) if type({value}) is dict else MISSING")
        return self._fields[path]

    def _variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"

    def _constant(self, value: object) -> str:
        name = f"c{len(self._given)}"
        self._given[name] = value
        return name

    def _set(self, text: str, kinds: Kinds) -> Found:
        value = self._variable()
        self.line(f"{value} = {text}")
        return value, kinds

    @contextmanager
    def _block(self, head: str) -> Iterator[None]:
        self.line(head)
        before = dict(self._known), dict(self._bound)
        self._indent += 1
        yield
        self._indent -= 1
        self._known, self._bound = before

    def needs(self, found: Found, wanted: Kinds) -> Found:
        """The value, which is of one of the kinds `wanted` from here on."""
        value, kinds = self._seen(*found)
        if object in kinds and not wanted.isdisjoint(TUPLE | {EMPTY}):
            value, kinds = self._seen(self._value_of(value), ANY)
        if not kinds <= wanted:
            tests = [f"type({value}) is not {_TYPES[kind]}" for kind in _TYPES if kind in kinds & wanted]
            if object in kinds and int in wanted:
                tests[-1] = f"({tests[-1]} or not {INT_MIN} <= {value} <= {INT_MAX})"
            self.line(f"if {' and '.join(tests) or 'True'}: raise Odd")
            self._known[value] = kinds = kinds & wanted
        return value, kinds

    def _seen(self, value: str, kinds: Kinds) -> Found:
        return value, self._known.get(value, kinds)

    def _value_of(self, raw: str) -> str:
        """The variable of what an expression may have of something in the message."""
        if raw not in self._bound:
            self.line(f"kind = type({raw})")
            plain = f"kind in PLAIN or (kind is int and {INT_MIN} <= {raw} <= {INT_MAX})"
            self._bound[raw], _ = self._set(f"{raw} if {plain} else {self._origins[raw]}", ANY)
        return self._bound[raw]

    def _value(self, node: Node, inputs: Sequence[Found]) -> Found:
        match node:
            case Literal():
                return self._constant(node.value), frozenset({type(node.value)})
            case Input():
                return self._seen(*inputs[node.number - 1])
            case Tuple():
                items = [self.needs(self._value(item, inputs), ANY)[0] for item in node.items]
                return ("None", frozenset({EMPTY})) if not items else self._set(f"({', '.join(items)})", TUPLE)
            case Unary("!"):
                return self._set(f"not {self.needs(self._value(node.operand, inputs), BOOL)[0]}", BOOL)
            case Unary():
                value, kinds = self.needs(self._value(node.operand, inputs), NUMBER)
                return self._number(f"-{value}", kinds)
            case Binary("&&" | "||"):
                return self._logic(node, inputs)
            case Binary():
                left, right = self._value(node.left, inputs), self._value(node.right, inputs)
                return self._binary(node.operator, left, right)
            case Call():
                return self._call(node, inputs)
        raise _TooMuch

    def _number(self, text: str, kinds: Kinds) -> Found:
        """A result that is an int of 64 bits, if it is an int."""
        value, _ = self._set(text, kinds)
        if int in kinds:
            kind = f"type({value}) is int and " if float in kinds else ""
            self.line(f"if {kind}not {INT_MIN} <= {value} <= {INT_MAX}: raise Odd")
        return value, kinds

    def _logic(self, node: Binary, inputs: Sequence[Found]) -> Found:
        left, _ = self.needs(self._value(node.left, inputs), BOOL)
        value, _ = self._set(left, BOOL)
        with self._block(f"if {value}:" if node.operator == "&&" else f"if not {value}:"):
            right, _ = self.needs(self._value(node.right, inputs), BOOL)
            self.line(f"{value} = {right}")
        return value, BOOL

    def _binary(self, operator: str, left: Found, right: Found) -> Found:
        if operator in ("==", "!="):
            return self._equality(operator, left, right)
        if operator in ("<", ">", "<=", ">="):
            alike = next((kinds for kinds in (STRING, BOOL) if left[1] <= kinds or right[1] <= kinds), NUMBER)
            return self._set(f"{self.needs(left, alike)[0]} {operator} {self.needs(right, alike)[0]}", BOOL)
        if operator == "+":
            return self._plus(left, right)
        (one, first), (other, second) = self.needs(left, NUMBER), self.needs(right, NUMBER)
        if operator in ("/", "%", "^"):
            kinds = FLOAT if operator == "^" else _arithmetic(first, second)
            return self._set(f"{_WORK[operator]}({one}, {other})", kinds)
        return self._number(f"{one} {operator} {other}", _arithmetic(first, second))

    def _equality(self, operator: str, left: Found, right: Found) -> Found:
        """Python's own where one side can be equal to its own kind only."""
        left, right = self.needs(left, ANY), self.needs(right, ANY)
        for kinds in (STRING, frozenset({EMPTY})):
            if left[1] <= kinds or right[1] <= kinds:
                return self._set(f"{left[0]} {operator} {right[0]}", BOOL)
        if left[1] <= NUMBER and right[1] <= NUMBER:
            return self._set(f"{left[0]} {operator} {right[0]}", BOOL)
        negated = "not " if operator == "!=" else ""
        return self._set(f"{negated}equal({left[0]}, {right[0]})", BOOL)

    def _plus(self, left: Found, right: Found) -> Found:
        if left[1] <= STRING or right[1] <= STRING:
            value, _ = self._set(f"{self._text(left)} + {self._text(right)}", STRING)
            self.line(f"if len({value}) > {TEXT_MAX}: raise Odd")
            return value, STRING
        if left[1] <= NUMBER or right[1] <= NUMBER:
            return self._sum(left, right)
        value, _ = self._set(left[0], ANY)
        with self._block(f"if type({left[0]}) is str and type({right[0]}) is str:"):
            self.line(f"{value} = {left[0]} + {right[0]}")
            self.line(f"if len({value}) > {TEXT_MAX}: raise Odd")
        with self._block("else:"):
            total, kinds = self._sum(left, right)
            self.line(f"{value} = {total}")
        return value, kinds | STRING

    def _sum(self, left: Found, right: Found) -> Found:
        (one, first), (other, second) = self.needs(left, NUMBER), self.needs(right, NUMBER)
        return self._number(f"{one} + {other}", _arithmetic(first, second))

    def _text(self, found: Found) -> str:
        """The variable of a value's text, as a string beside it has it."""
        value, kinds = found
        if kinds <= STRING:
            return value
        text, _ = self._set(value, ANY)
        with self._block(f"if type({text}) is not str:"):
            self.needs((text, kinds), NUMBER | BOOL)
            self.line(f"{text} = text_of_value({text})")
        return text

    def _call(self, node: Call, inputs: Sequence[Found]) -> Found:
        if node.name == IF:
            return self._if(node, inputs)
        if node.name in SPECIAL:
            return self._regex(node, inputs)
        function = FUNCTIONS[node.name]
        arguments = node.arguments
        if function.gathers and len(arguments) > 1:
            arguments = (Tuple(arguments),)
        given = [self._value(argument, inputs) for argument in arguments]
        values = [self.needs(each, wanted)[0] for each, wanted in zip(given, function.parameters, strict=False)]
        return self._set(f"{self._constant(function.call)}({', '.join(values)})", function.result)

    def _if(self, node: Call, inputs: Sequence[Found]) -> Found:
        condition, then, otherwise = node.arguments
        decision, _ = self.needs(self._value(condition, inputs), BOOL)
        value, kinds = self._variable(), frozenset[type]()
        for head, branch in ((f"if {decision}:", then), ("else:", otherwise)):
            with self._block(head):
                found, more = self.needs(self._value(branch, inputs), ANY)
                self.line(f"{value} = {found}")
                kinds |= more
        return value, kinds

    def _regex(self, node: Call, inputs: Sequence[Found]) -> Found:
        text, pattern, *rest = node.arguments
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
            raise _TooMuch
        matching = node.name == REGEX_MATCHES
        work = (patterns.matches if matching else patterns.replace)(pattern.value)
        values = [self.needs(self._value(argument, inputs), STRING)[0] for argument in (text, *rest)]
        return self._set(f"{self._constant(work)}({', '.join(values)})", BOOL if matching else STRING)


def _arithmetic(left: Kinds, right: Kinds) -> Kinds:
    if left == FLOAT or right == FLOAT:
        return FLOAT
    return NUMBER if float in left | right else left


def _certain(node: Node) -> Iterator[int]:
    """The inputs that an evaluation looks at, whatever they are."""
    match node:
        case Input():
            yield node.number
        case Binary("&&" | "||"):
            yield from _certain(node.left)
        case Call(name) if name == IF:
            yield from _certain(node.arguments[0])
        case _:
            for child in children(node):
                yield from _certain(child)


_TYPES = {float: "float", str: "str", bool: "bool", tuple: "tuple", EMPTY: "EMPTY", int: "int"}
_WORK = {"/": "divide", "%": "remainder", "^": "power"}
_NAMES: dict[str, Any] = {
    "MISSING": MISSING,
    "EMPTY": EMPTY,
    "PLAIN": PLAIN,
    "Odd": Odd,
    "Row": Row,
    "records": {},
    "put": put,
    "detached": detached,
    "equal": equal,
    "text_of_value": text_of_value,
    "divide": mathematics.divide,
    "remainder": mathematics.remainder,
    "power": mathematics.power,
}
