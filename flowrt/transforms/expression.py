"""An expression from text to a program, in one call."""

from __future__ import annotations

from flowrt.transforms.compile import Program, Watch, program
from flowrt.transforms.grammar import parse
from flowrt.transforms.tree import ExpressionError, Node
from flowrt.transforms.types import Scope, check
from flowrt.transforms.values import ANY, Kinds
from flowrt.values import Struct


class Expression(Struct, frozen=True):
    """An expression without mistakes. `run` takes the inputs' values and raises `ExpressionError`."""

    text: str
    tree: Node
    run: Program


def mistakes(text: str, inputs: int, scope: Scope = Scope.RULE, wanted: Kinds = ANY) -> list[ExpressionError]:
    """All that is wrong with an expression of `inputs` inputs whose result has to be of the kinds `wanted`."""
    try:
        tree = parse(text)
    except ExpressionError as error:
        return [error]
    return check(tree, inputs, scope, wanted)


def expression(
    text: str, inputs: int, scope: Scope = Scope.RULE, wanted: Kinds = ANY, watch: Watch | None = None
) -> Expression:
    """The expression, ready to run. Raises the first `ExpressionError` of what is wrong with it."""
    tree = parse(text)
    for error in check(tree, inputs, scope, wanted):
        raise error
    return Expression(text, tree, program(tree, scope, watch))
