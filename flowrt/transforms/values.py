"""The values of expressions and their types.

int is a Python int of 64 bits, float a float, string a str, boolean a bool, tuple a tuple, empty None. Of a message,
an array of such values becomes a tuple; an object, or an array that holds one, takes part in no expression.
"""

from __future__ import annotations

from flowrt.transforms.tree import ExpressionError, literal_text

Kinds = frozenset[type]
"""Types that a value may have."""
Value = int | float | str | bool | tuple["Value", ...] | None

EMPTY = type(None)
NUMBER: Kinds = frozenset({int, float})
FLOAT: Kinds = frozenset({float})
INT: Kinds = frozenset({int})
STRING: Kinds = frozenset({str})
BOOL: Kinds = frozenset({bool})
TUPLE: Kinds = frozenset({tuple})
ANY: Kinds = frozenset({int, float, str, bool, tuple, EMPTY})
PLAIN: Kinds = frozenset({float, str, bool, EMPTY})
"""Values of a message that are taken as they are."""
INT_MIN, INT_MAX = -(2**63), 2**63 - 1
TEXT_MAX = 16 * 2**20
"""Characters of a text that an expression makes: no message may have it make more than fits into one."""
NAMES: dict[type, str] = {
    int: "int",
    float: "float",
    str: "string",
    bool: "boolean",
    tuple: "tuple",
    EMPTY: "empty",
}
"""What `typeof` calls them."""
_WORDS = {NUMBER: "a number", STRING: "a string", BOOL: "a boolean", TUPLE: "a tuple", INT: "an int", FLOAT: "a float"}


def bound(value: object, number: int) -> Value:
    """A message's value as input `number`. Raises `ExpressionError` for what no expression takes."""
    kind = type(value)
    if kind in PLAIN:
        return value  # type: ignore[return-value]
    if kind is int:
        if INT_MIN <= value <= INT_MAX:  # type: ignore[operator]
            return value  # type: ignore[return-value]
        raise ExpressionError(f"${number} is an integer of more than 64 bits; copy it without an expression")
    if isinstance(value, (list, tuple)):
        return tuple([bound(item, number) for item in value])
    raise ExpressionError(f"${number} is or holds a JSON object; copy it without an expression, or name a field in it")


def within(value: int) -> int:
    """An int that fits. Raises `ExpressionError` otherwise, as Rust's checked arithmetic would refuse it."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise ExpressionError("the result is an integer of more than 64 bits")


def not_too_long(characters: int) -> None:
    """Raises `ExpressionError` for a text that would be longer than any message."""
    if characters > TEXT_MAX:
        raise ExpressionError(f"the result is a text of more than {TEXT_MAX} characters")


def equal(left: Value, right: Value) -> bool:
    """Numbers by value, whether int or float; values of other different types are never equal."""
    if type(left) in NUMBER:
        return type(right) in NUMBER and left == right
    if type(left) is not type(right):
        return False
    if isinstance(left, tuple) and isinstance(right, tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return left == right


def key_of(value: object) -> object:
    """Equal keys for values that `equal` calls so, to find one among many in a table."""
    if type(value) in NUMBER:
        return (int, value)
    if isinstance(value, (list, tuple)):
        return (tuple, tuple(map(key_of, value)))
    return (type(value), repr(value) if isinstance(value, dict) else value)


def text_of_value(value: Value) -> str:
    """What `str::from` makes, and `+` beside a string: numbers as JSON has them, strings without quotes."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "()"
    if isinstance(value, tuple):
        return f"({', '.join(map(text_of_value, value))})"
    return repr(value)


def kinds_in_words(kinds: Kinds) -> str:
    """`a number`, `a string or a tuple`."""
    if kinds in _WORDS:
        return _WORDS[kinds]
    names = [NAMES[kind] for kind in NAMES if kind in kinds]
    if kinds > NUMBER:
        names = ["number", *(name for name in names if name not in ("int", "float"))]
    return " or ".join(f"{'an' if name[0] in 'aei' else 'a'} {name}" for name in names)


def describe(value: object) -> str:
    """A value as found, for messages."""
    if value is None:
        return "missing"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    shown = literal_text(value)
    return f"the {NAMES[type(value)]} {shown if len(shown) <= 60 else shown[:57] + '…'}"
