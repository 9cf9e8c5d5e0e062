"""An expression as a tree that remembers where everything stands, and back to text."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

DEPTH_MAX = 200
"""Levels of a tree: evaluating one takes as many Python frames, of which a thread has a thousand."""
PRECEDENCE = (("||",), ("&&",), ("==", "!="), ("<", ">", "<=", ">="), ("+", "-"), ("*", "/", "%"), ("^",))
"""Binary operators from the weakest to the strongest; all of one level are taken from left to right."""
_LEVEL = {operator: level for level, operators in enumerate(PRECEDENCE) for operator in operators}
_UNARY = _LEVEL["^"] - 0.5
_ATOM = len(PRECEDENCE)
ESCAPES = {"\\": "\\", '"': '"', "'": "'", "n": "\n", "r": "\r", "t": "\t"}
"""What may follow a backslash in a text."""
_ESCAPED = str.maketrans({char: f"\\{name}" for name, char in ESCAPES.items() if name != "'"})


class ExpressionError(ValueError):
    """An expression is wrong, or cannot be evaluated for these inputs."""

    def __init__(self, message: str, at: int = 0) -> None:
        super().__init__(message)
        self.message = message
        self.at = at
        """Column from 1; 0 where the expression as a whole is meant."""

    def __str__(self) -> str:
        return f"{self.message} (column {self.at})" if self.at else self.message


@dataclass(frozen=True, slots=True)
class Node:
    """Part of an expression."""

    at: int = field(compare=False, kw_only=True, default=0)
    """Column of its first character, from 1."""
    end: int = field(compare=False, kw_only=True, default=0)
    """Column after its last character."""
    depth: int = field(compare=False, kw_only=True, default=1)


@dataclass(frozen=True, slots=True)
class Literal(Node):
    """A constant: int, float, str or bool; an int may still be too large."""

    value: int | float | str | bool


@dataclass(frozen=True, slots=True)
class Input(Node):
    """`$1`, `$2`, …"""

    number: int


@dataclass(frozen=True, slots=True)
class Unary(Node):
    """`-` or `!` before an operand."""

    operator: str
    operand: Node


@dataclass(frozen=True, slots=True)
class Binary(Node):
    """An operator between two operands."""

    operator: str
    left: Node
    right: Node


@dataclass(frozen=True, slots=True)
class Tuple(Node):
    """`()`, or two and more items."""

    items: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Call(Node):
    """A function with its arguments."""

    name: str
    arguments: tuple[Node, ...]


def children(node: Node) -> tuple[Node, ...]:
    """The nodes right below."""
    match node:
        case Unary():
            return (node.operand,)
        case Binary():
            return (node.left, node.right)
        case Tuple():
            return node.items
        case Call():
            return node.arguments
    return ()


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, in the order of the text."""
    yield node
    for child in children(node):
        yield from walk(child)


def text_of(node: Node) -> str:
    """The expression with as few parentheses as it can have; it parses to an equal tree."""
    return _text(node)[0]


def _text(node: Node) -> tuple[str, float]:
    """Text, and how strongly it holds together."""
    match node:
        case Literal():
            return literal_text(node.value), _ATOM if not _is_negative(node.value) else _UNARY
        case Input():
            return f"${node.number}", _ATOM
        case Unary():
            inner, level = _text(node.operand)
            return node.operator + (inner if level >= _UNARY else f"({inner})"), _UNARY
        case Binary():
            own = _LEVEL[node.operator]
            (left, left_level), (right, right_level) = _text(node.left), _text(node.right)
            left = left if left_level >= own else f"({left})"
            right = right if right_level > own else f"({right})"
            return f"{left} {node.operator} {right}", own
        case Tuple():
            return f"({', '.join(map(text_of, node.items))})", _ATOM
        case Call():
            return f"{node.name}({', '.join(map(text_of, node.arguments))})", _ATOM
    raise TypeError(type(node))


def _is_negative(value: object) -> bool:
    return isinstance(value, (int, float)) and str(value).startswith("-")


def literal_text(value: object) -> str:
    """A constant as it is written in an expression."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return f'"{value.translate(_ESCAPED)}"'
    return repr(value)
