"""The parser of expressions. The grammar is lark's, loaded at the first expression only."""

from __future__ import annotations

import re
from functools import cache
from math import isinf
from typing import Any

from flowrt.problem import nearest
from flowrt.transforms.tree import (
    DEPTH_MAX,
    ESCAPES,
    Binary,
    Call,
    ExpressionError,
    Input,
    Literal,
    Node,
    Tuple,
    Unary,
)

CHARACTERS_MAX = 8192
"""Of one expression; the longest in use have a few hundred."""
GRAMMAR = r"""
?start: or
?or: and | or "||" and -> binary
?and: equality | and "&&" equality -> binary
?equality: order | equality ("==" | "!=") order -> binary
?order: sum | order ("<" | ">" | "<=" | ">=") sum -> binary
?sum: product | sum ("+" | "-") product -> binary
?product: unary | product ("*" | "/" | "%") unary -> binary
?unary: power | ("-" | "!") unary -> unary
?power: atom | power "^" operand -> binary
?operand: atom | ("-" | "!") operand -> unary
?atom: FLOAT -> float
     | INT -> int
     | TEXT -> text
     | INPUT -> input
     | NAME -> name
     | NAME "(" [or ("," or)*] ")" -> call
     | "(" ")" -> tuple
     | "(" or ")" -> group
     | "(" or ("," or)+ ")" -> tuple
FLOAT.2: /(\d+\.\d*|\.\d+)([eE][+-]?\d+)?|\d+[eE][+-]?\d+/
INT: /\d+/
TEXT: /"([^"\\]|\\.)*"|'([^'\\]|\\.)*'/s
INPUT: /\$\d+/
NAME: /[A-Za-z_]\w*(::\w+)*/
%ignore /\s+/
"""
_VALUE = 'a value (such as $1, 5, "text" or a function)'
_REMEDIES = {"and": "&&", "or": "||", "not": "!", "=": "==", "&": "&&", "|": "||"}
"""What is often written, and what it is here."""
_TRUTHS = {"true": True, "false": False}


def parse(text: str) -> Node:
    """The tree of an expression. Raises `ExpressionError` with the column."""
    if len(text) > CHARACTERS_MAX:
        raise ExpressionError(f"the expression has {len(text)} characters; it may have {CHARACTERS_MAX}")
    if not text.strip():
        raise ExpressionError(f"the expression is empty; write {_VALUE}", 1)
    lark, parser = _parser()
    try:
        node: Node = parser.parse(text)
    except lark.exceptions.UnexpectedInput as error:
        raise _refusal(text, error) from None
    return node


@cache
def _parser() -> tuple[Any, Any]:
    import lark  # 35 ms that only graphs with expressions pay

    return lark, lark.Lark(GRAMMAR, parser="lalr", transformer=_Builder(), keep_all_tokens=True)


class _Builder:
    """Makes our tree while the parser reduces. Tokens and finished nodes come in, in their order."""

    def int(self, found: list[Any]) -> Node:
        (token,) = found
        value = int(token) if len(token) <= 40 else 1 << 64  # too large either way
        return Literal(value, **_span(found))

    def float(self, found: list[Any]) -> Node:
        value = float(found[0])
        if isinf(value):
            raise ExpressionError("the number is too large for a float", _start(found[0]))
        return Literal(value, **_span(found))

    def text(self, found: list[Any]) -> Node:
        return Literal(_unescaped(found[0]), **_span(found))

    def input(self, found: list[Any]) -> Node:
        digits = found[0][1:]
        return Input(int(digits) if len(digits) <= 9 else 10**9, **_span(found))

    def name(self, found: list[Any]) -> Node:
        (name,) = found
        if name in _TRUTHS:
            return Literal(_TRUTHS[name], **_span(found))
        raise ExpressionError(_stray_name(name), _start(name))

    def unary(self, found: list[Any]) -> Node:
        operator, operand = found
        if operator == "-" and isinstance(operand, Literal) and type(operand.value) in (int, float):
            return Literal(-operand.value, **_span(found))  # type: ignore[operator]
        return Unary(str(operator), operand, **_span(found))

    def binary(self, found: list[Any]) -> Node:
        left, operator, right = found
        return Binary(str(operator), left, right, **_span(found))

    def group(self, found: list[Any]) -> Node:
        return found[1]  # type: ignore[no-any-return]

    def tuple(self, found: list[Any]) -> Node:
        return Tuple(tuple(item for item in found if isinstance(item, Node)), **_span(found))

    def call(self, found: list[Any]) -> Node:
        arguments = tuple(item for item in found[1:] if isinstance(item, Node))
        return Call(str(found[0]), arguments, **_span(found))


def _start(item: Any) -> int:
    return item.at if isinstance(item, Node) else item.start_pos + 1


def _span(found: list[Any]) -> dict[str, int]:
    found = [item for item in found if item is not None]
    depth = 1 + max((item.depth for item in found if isinstance(item, Node)), default=0)
    first, last = found[0], found[-1]
    if depth > DEPTH_MAX:
        raise ExpressionError(f"the expression is more than {DEPTH_MAX} levels deep; split it", _start(first))
    end = last.end if isinstance(last, Node) else last.end_pos + 1
    return {"at": _start(first), "end": end, "depth": depth}


def _unescaped(token: Any) -> str:
    def meant(match: re.Match[str]) -> str:
        char = match[1]
        if char not in ESCAPES:
            known = ", ".join(f"\\{name}" for name in ESCAPES)
            message = f"\\{char} means nothing in a text; known are {known}, and a backslash is \\\\"
            raise ExpressionError(message, _start(token) + match.start() + 1)
        return ESCAPES[char]

    return re.sub(r"\\(.)", meant, token[1:-1], flags=re.DOTALL)


def _stray_name(name: str) -> str:
    if name in _REMEDIES:
        return f"there is no operator '{name}'; write {_REMEDIES[name]}"
    return f"'{name}' means nothing here; inputs are $1, $2, …, and text stands in quotes{nearest(name, _TRUTHS)}"


def _refusal(text: str, error: Any) -> ExpressionError:
    """What lark says, in our words."""
    at = error.pos_in_stream
    token = getattr(error, "token", None)
    if at is None or (token is not None and token.type == "$END"):
        return ExpressionError(f"the expression ends where {_wanted(error)} is expected", len(text.rstrip()) + 1)
    rest, before = text[at:], re.search(r"\b(and|or|not)\s*$", text[:at])
    if before:
        return ExpressionError(_stray_name(before[1]), before.start() + 1)
    word = re.match(r"[A-Za-z_]\w*|\S", rest)
    found = str(token) if token is not None else word[0] if word else rest[:1]
    if found in _REMEDIES:
        return ExpressionError(f"there is no operator '{found}'; write {_REMEDIES[found]}", at + 1)
    if found in "\"'":
        return ExpressionError(f"the text that begins here is not closed; write {found} at its end", at + 1)
    if found == "$":
        return ExpressionError("an input is $ and a number, from $1", at + 1)
    return ExpressionError(f"found '{found}' where {_wanted(error)} is expected", at + 1)


def _wanted(error: Any) -> str:
    """What could stand there instead."""
    if "INT" in (getattr(error, "expected", None) or getattr(error, "allowed", None) or ()):
        return _VALUE
    accepted, words = getattr(error, "accepts", None) or (), ["an operator"]
    words += [f"'{char}'" for name, char in (("COMMA", ","), ("RPAR", ")")) if name in accepted]
    return " or ".join(words)
