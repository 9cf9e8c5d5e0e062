"""Every function of the language, as a table: what it takes, what it gives, and the code."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from flowrt.transforms.mathematics import (
    absolute,
    ieee,
    ln,
    log,
    logarithm,
    power,
    round_away,
    round_n,
    scale,
    whole,
)
from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.values import (
    ANY,
    BOOL,
    FLOAT,
    INT,
    NAMES,
    NUMBER,
    STRING,
    TUPLE,
    Kinds,
    Value,
    equal,
    key_of,
    text_of_value,
)
from flowrt.values import Struct


class Function(Struct, frozen=True):
    """One function. `call` is given values of the kinds in `parameters`."""

    parameters: tuple[Kinds, ...]
    result: Kinds
    call: Callable[..., Any]
    optional: int = 0
    """How many of the last parameters may be left out."""
    gathers: bool = False
    """Several arguments are one tuple: `max(1, 2)` is `max((1, 2))`."""


def _numeric(count: int, call: Callable[..., Any], result: Kinds = FLOAT) -> Function:
    return Function((NUMBER,) * count, result, call)


def _extreme(name: str, better: Callable[[Any, Any], bool]) -> Callable[[Value], Value]:
    def find(values: Value) -> Value:
        items: Sequence[Value] = values if isinstance(values, tuple) else (values,)
        if not items:
            raise ExpressionError(f"{name} needs at least one number, and the tuple is empty")
        best: Any = None
        for item in items:
            if type(item) not in NUMBER:
                raise ExpressionError(f"{name} takes numbers, and the tuple holds a value that is {NAMES[type(item)]}")
            if best is None or better(item, best):
                best = item
        return best  # type: ignore[no-any-return]

    return find


def _substring(text: str, start: int, end: int | None = None) -> str:
    last = len(text) if end is None else end
    if not 0 <= start <= last <= len(text):
        raise ExpressionError(f"str::substring from {start} to {last} is outside a text of {len(text)} characters")
    return text[start:last]


def _contains(items: tuple[Value, ...], value: Value) -> bool:
    return any(equal(item, value) for item in items)


def _contains_any(items: tuple[Value, ...], candidates: tuple[Value, ...]) -> bool:
    known = set(map(key_of, items))  # both may be as long as a message
    return any(key_of(candidate) in known for candidate in candidates)


_ONE_STRING = (STRING,)
FUNCTIONS: dict[str, Function] = {
    "cToF": _numeric(1, lambda c: c * 9.0 / 5.0 + 32.0),
    "fToC": _numeric(1, lambda f: (f - 32.0) * 5.0 / 9.0),
    "psiToBar": _numeric(1, lambda psi: psi * 0.0689476),
    "barToPsi": _numeric(1, lambda bar: bar / 0.0689476),
    "inToCm": _numeric(1, lambda inch: inch * 2.54),
    "cmToIn": _numeric(1, lambda cm: cm / 2.54),
    "ftToM": _numeric(1, lambda ft: ft * 0.3048),
    "mToFt": _numeric(1, lambda m: m / 0.3048),
    "lbToKg": _numeric(1, lambda lb: lb * 0.453592),
    "kgToLb": _numeric(1, lambda kg: kg / 0.453592),
    "galToL": _numeric(1, lambda gal: gal * 3.78541),
    "lToGal": _numeric(1, lambda litre: litre / 3.78541),
    "scale": _numeric(5, scale),
    "round_n": Function((NUMBER, INT), FLOAT, round_n),
    "floor": _numeric(1, whole(math.floor)),
    "round": _numeric(1, round_away),
    "ceil": _numeric(1, whole(math.ceil)),
    "math::abs": _numeric(1, absolute, NUMBER),
    "math::sqrt": _numeric(1, ieee(math.sqrt)),
    "math::cbrt": _numeric(1, ieee(math.cbrt)),
    "math::ln": _numeric(1, ln),
    "math::log2": _numeric(1, logarithm(math.log2)),
    "math::log10": _numeric(1, logarithm(math.log10)),
    "math::log": _numeric(2, log),
    "math::exp": _numeric(1, ieee(math.exp)),
    "math::exp2": _numeric(1, ieee(math.exp2)),
    "math::pow": _numeric(2, power),
    "math::cos": _numeric(1, ieee(math.cos)),
    "math::sin": _numeric(1, ieee(math.sin)),
    "math::tan": _numeric(1, ieee(math.tan)),
    "math::acos": _numeric(1, ieee(math.acos)),
    "math::asin": _numeric(1, ieee(math.asin)),
    "math::atan": _numeric(1, ieee(math.atan)),
    "math::atan2": _numeric(2, ieee(math.atan2)),
    "math::hypot": _numeric(2, ieee(math.hypot)),
    "len": Function((STRING | TUPLE,), INT, len, gathers=True),
    "str::to_lowercase": Function(_ONE_STRING, STRING, str.lower),
    "str::to_uppercase": Function(_ONE_STRING, STRING, str.upper),
    "str::trim": Function(_ONE_STRING, STRING, str.strip),
    "str::from": Function((ANY,), STRING, text_of_value, gathers=True),
    "str::substring": Function((STRING, INT, INT), STRING, _substring, optional=1),
    "min": Function((NUMBER | TUPLE,), NUMBER, _extreme("min", lambda new, best: new < best), gathers=True),
    "max": Function((NUMBER | TUPLE,), NUMBER, _extreme("max", lambda new, best: new > best), gathers=True),
    "contains": Function((TUPLE, ANY), BOOL, _contains),
    "contains_any": Function((TUPLE, TUPLE), BOOL, _contains_any),
    "typeof": Function((ANY,), STRING, lambda value: NAMES[type(value)], gathers=True),
}
"""Available in every expression; `if` and the two with regular expressions are the compiler's."""

IF = "if"
REGEX_MATCHES = "str::regex_matches"
REGEX_REPLACE = "str::regex_replace"
SPECIAL: dict[str, tuple[tuple[Kinds, ...], Kinds]] = {
    IF: ((BOOL, ANY, ANY), ANY),
    REGEX_MATCHES: ((STRING, STRING), BOOL),
    REGEX_REPLACE: ((STRING, STRING, STRING), STRING),
}
"""What they take and give: `if` evaluates one of its branches only, and a pattern is compiled once."""

AGGREGATES: dict[str, Kinds] = {
    "average": FLOAT,
    "sum": FLOAT,
    "min": NUMBER,
    "max": NUMBER,
    "count": INT,
    "first": ANY,
    "last": ANY,
}
"""In accumulation rules, of one `$n` as it stands: the kinds of their results."""
RUNNING: dict[str, Kinds] = {
    "running_sum": FLOAT,
    "running_avg": FLOAT,
    "running_min": ANY,
    "running_max": ANY,
    "running_count": INT,
    "first": ANY,
    "changed": BOOL,
    "prev": ANY,
}
"""In triggers, of one `$n` as it stands; `running_count` also of nothing."""
