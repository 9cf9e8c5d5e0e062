"""Straight-line Python while it is written: lines, variables, constants, and what checks have shown of variables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowrt.transforms import mathematics
from flowrt.transforms.documents import detached, put
from flowrt.transforms.inputs import MISSING, Row
from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.values import ANY, EMPTY, INT_MAX, INT_MIN, PLAIN, TUPLE, Kinds, equal, text_of_value

LINES_MAX = 4000
"""Of one function; rules that need more are taken through the closures. Compiling a line takes about 10 µs."""
INDENT_MAX = 50
"""Blocks in each other: Python takes 100."""
RAW: Kinds = ANY | {dict, list, object}
"""What a message may hold; `object` is what stands for a missing field."""


class Odd(ExpressionError):
    """The message is not for this code."""

    def __init__(self) -> None:
        super().__init__("odd")


class TooMuch(Exception):
    """Rules that make more code than they are worth."""


Found = tuple[str, Kinds]
"""Variable that holds a value, and of which kinds it may be."""


class Code:
    """One function."""

    def __init__(self, *parameters: str) -> None:
        self._given: dict[str, Any] = dict(_NAMES)
        self._head = f"def straight({', '.join(parameters)}):"
        self._lines: list[str] = []
        self._indent = 1
        self._variables = 0
        self._known: dict[str, Kinds] = {}
        """What checks have shown of variables, on the way to where we are."""
        self._bound: dict[str, str] = {}
        """Variables of the message, to those that hold what an expression may have of them."""
        self.origins: dict[str, str] = {}
        """Variables of the message, to the call that makes a value of theirs, or has the words why it is none."""
        self.rows = False
        """Whether anything in it asks for a `Row`."""

    def line(self, text: str) -> None:
        """One more line. Raises `TooMuch`."""
        if len(self._lines) >= LINES_MAX or self._indent > INDENT_MAX:
            raise TooMuch
        self._lines.append("    " * self._indent + text)

    def function(self) -> Any:
        """What was written, compiled."""
        before = ["    get = d.get"] + (["    row = Row(d, head, records)"] if self.rows else [])
        source = "\n".join([self._head, *before, *self._lines])
        exec(compile(source, "<rules>", "exec"), self._given)  # noqa: S102 - nothing of a rule is in it, see `straight`
        return self._given["straight"]

    def variable(self) -> str:
        self._variables += 1
        return f"v{self._variables}"

    def constant(self, value: object) -> str:
        name = f"c{len(self._given)}"
        self._given[name] = value
        return name

    def set(self, text: str, kinds: Kinds) -> Found:
        """A new variable that holds what `text` gives."""
        value = self.variable()
        self.line(f"{value} = {text}")
        return value, kinds

    @contextmanager
    def block(self, head: str) -> Iterator[None]:
        self.line(head)
        before = dict(self._known), dict(self._bound)
        self._indent += 1
        yield
        self._indent -= 1
        self._known, self._bound = before

    def needs(self, found: Found, wanted: Kinds) -> Found:
        """The value, which is of one of the kinds `wanted` from here on."""
        value, kinds = self.seen(*found)
        if object in kinds and not wanted.isdisjoint(TUPLE | {EMPTY}):
            value, kinds = self.seen(self._value_of(value), ANY)
        if not kinds <= wanted:
            tests = [f"type({value}) is not {_TYPES[kind]}" for kind in _TYPES if kind in kinds & wanted]
            if object in kinds and int in wanted:
                tests[-1] = f"({tests[-1]} or not {INT_MIN} <= {value} <= {INT_MAX})"
            self.line(f"if {' and '.join(tests) or 'True'}: raise Odd")
            self._known[value] = kinds = kinds & wanted
        return value, kinds

    def seen(self, value: str, kinds: Kinds) -> Found:
        return value, self._known.get(value, kinds)

    def _value_of(self, raw: str) -> str:
        """The variable of what an expression may have of something in the message."""
        if raw not in self._bound:
            self.line(f"kind = type({raw})")
            plain = f"kind in PLAIN or (kind is int and {INT_MIN} <= {raw} <= {INT_MAX})"
            self._bound[raw], _ = self.set(f"{raw} if {plain} else {self.origins[raw]}", ANY)
        return self._bound[raw]


_TYPES = {float: "float", str: "str", bool: "bool", tuple: "tuple", EMPTY: "EMPTY", int: "int"}
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
