"""`flowrt expr`: one expression of a transform on values given as JSON. Exit status 0, or 1 with what is wrong."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from flowrt.errors import FlowrtError, NodeFault
from flowrt.transforms.compile import Program
from flowrt.transforms.documents import decode, encode
from flowrt.transforms.expression import expression
from flowrt.transforms.tree import ExpressionError, Literal, Node, text_of
from flowrt.transforms.values import bound


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("expression", metavar="EXPRESSION", help="such as '$1 * 2'; after -- when it begins with a -")
    parser.add_argument(
        "--input", action="append", default=[], metavar="JSON", help="the value of $1, then of $2 and so on"
    )
    parser.add_argument("--explain", action="store_true", help="show on standard error what each part of it gave")


def run(options: argparse.Namespace) -> int:
    try:
        values = [_value(text, number) for number, text in enumerate(options.input, 1)]
        known = expression(options.expression, len(values), watch=_watch if options.explain else None)
        result = known.run(values)
        print(encode(result).decode())
    except ExpressionError as error:
        print(_pointing(options.expression, error), file=sys.stderr)
        return 1
    except NodeFault as error:
        print(error.detail, file=sys.stderr)
        return 1
    return 0


def _value(text: str, number: int) -> Any:
    try:
        return bound(decode(text.encode(errors="surrogateescape")), number)
    except FlowrtError as error:
        raise ExpressionError(f"--input {number} is no JSON: {error}") from None


def _pointing(text: str, error: ExpressionError) -> str:
    """The message with the line of the expression under it, and a mark under the column."""
    if not error.at:
        return error.message
    before = text[: error.at - 1]
    line = text.splitlines()[before.count("\n")] if text.splitlines() else ""
    column = len(before) - (before.rfind("\n") + 1)
    return f"column {error.at}: {error.message}\n  {line}\n  {' ' * column}^"


def _watch(node: Node, program: Program) -> Program:
    """Says what each part of an expression gave, as it is evaluated: inner parts before outer ones."""
    if isinstance(node, Literal):
        return program

    def watched(values: Sequence[Any]) -> Any:
        result = program(values)
        print(f"{text_of(node)} = {json.dumps(result, ensure_ascii=False)}", file=sys.stderr)
        return result

    return watched
