"""From a checked tree to Python closures: each node a function of the inputs, made once.

What is known beforehand (operators, columns of errors, patterns) is bound when a closure is made; what is left for a
message is a call a node. Values are trusted to be what `values.bound` lets through.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import ge, gt, le, lt
from typing import Any

from flowrt.transforms import mathematics, patterns
from flowrt.transforms.functions import FUNCTIONS, IF, REGEX_MATCHES, RUNNING, SPECIAL, Function
from flowrt.transforms.tree import Binary, Call, ExpressionError, Input, Literal, Node, Tuple, Unary, text_of
from flowrt.transforms.types import Scope, is_aggregate
from flowrt.transforms.values import (
    BOOL,
    INT_MAX,
    INT_MIN,
    NUMBER,
    STRING,
    TEXT_MAX,
    Kinds,
    Value,
    describe,
    equal,
    kinds_in_words,
    text_of_value,
)

Program = Callable[[Sequence[Any]], Any]
"""Takes the values of `$1`, `$2`, … (in a window their columns; in a trigger, the history behind them) and gives the
result. Raises `ExpressionError`."""
Watch = Callable[[Node, Program], Program]
"""Put around every node's program, for `flowrt expr --explain`."""

_ORDER = {"<": lt, ">": gt, "<=": le, ">=": ge}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "-": lambda left, right: left - right,
    "*": lambda left, right: left * right,
    "/": mathematics.divide,
    "%": mathematics.remainder,
    "^": mathematics.power,
}


def program(node: Node, scope: Scope = Scope.RULE, watch: Watch | None = None) -> Program:
    """The program of a tree that `types.check` found nothing in."""

    def build(part: Node) -> Program:
        made = _BUILD[type(part)](part, scope, build)
        return made if watch is None else watch(part, made)

    return build(node)


Build = Callable[[Node], Program]


def _literal(node: Literal, _scope: Scope, _build: Build) -> Program:
    value = node.value
    return lambda _: value


def _input(node: Input, _scope: Scope, _build: Build) -> Program:
    index = node.number - 1
    return lambda values: values[index]


def _tuple(node: Tuple, _scope: Scope, build: Build) -> Program:
    if not node.items:
        return lambda _: None
    items = [build(item) for item in node.items]
    return lambda values: tuple([item(values) for item in items])


def _unary(node: Unary, _scope: Scope, build: Build) -> Program:
    operand, at, inner = build(node.operand), node.at, node.operand
    if node.operator == "!":

        def inverted(values: Sequence[Any]) -> bool:
            value = operand(values)
            if type(value) is not bool:
                raise _misfit("'!'", BOOL, inner, value)
            return not value

        return inverted

    def negated(values: Sequence[Any]) -> Value:
        value = operand(values)
        if type(value) not in NUMBER:
            raise _misfit("'-'", NUMBER, inner, value)
        if value == INT_MIN and type(value) is int:
            raise ExpressionError("the result is an integer of more than 64 bits", at)
        return -value  # type: ignore[no-any-return]

    return negated


def _binary(node: Binary, _scope: Scope, build: Build) -> Program:
    left, right = build(node.left), build(node.right)
    match node.operator:
        case "&&" | "||":
            return _logic(node, left, right)
        case "==":
            return lambda values: equal(left(values), right(values))
        case "!=":
            return lambda values: not equal(left(values), right(values))
        case "+":
            return _plus(node, left, right)
        case "<" | ">" | "<=" | ">=":
            return _order(node, left, right)
    return _arithmetic(node, left, right)


def _logic(node: Binary, left: Program, right: Program) -> Program:
    """The right side is evaluated only when the left one does not decide."""
    decides, who = node.operator == "||", f"'{node.operator}'"

    def decided(values: Sequence[Any]) -> bool:
        first = left(values)
        if type(first) is not bool:
            raise _misfit(who, BOOL, node.left, first)
        if first is decides:
            return decides
        second = right(values)
        if type(second) is not bool:
            raise _misfit(who, BOOL, node.right, second)
        return second

    return decided


def _order(node: Binary, left: Program, right: Program) -> Program:
    compare = _ORDER[node.operator]

    def compared(values: Sequence[Any]) -> bool:
        one, other = left(values), right(values)
        kind, another = type(one), type(other)
        if (kind in NUMBER and another in NUMBER) or (kind is another and (kind is str or kind is bool)):
            return compare(one, other)  # type: ignore[no-any-return]
        sides = f"{text_of(node.left)} is {describe(one)} and {text_of(node.right)} is {describe(other)}"
        message = f"'{node.operator}' compares two numbers, two strings or two booleans, and {sides}"
        raise ExpressionError(message, node.at)

    return compared


def _plus(node: Binary, left: Program, right: Program) -> Program:
    def added(values: Sequence[Any]) -> Any:
        one, other = left(values), right(values)
        kind, another = type(one), type(other)
        if kind in NUMBER and another in NUMBER:
            result = one + other
            if type(result) is int and not INT_MIN <= result <= INT_MAX:
                raise ExpressionError("the result is an integer of more than 64 bits", node.at)
            return result
        if kind is str and another is str and len(one) + len(other) <= TEXT_MAX:
            return one + other
        for side, value in ((node.left, one), (node.right, other)):
            if type(value) is tuple or value is None:
                raise _misfit("'+'", NUMBER | STRING | BOOL, side, value)
        if kind is str or another is str:
            joined = text_of_value(one) + text_of_value(other)
            if len(joined) > TEXT_MAX:
                raise ExpressionError(f"the result is a text of more than {TEXT_MAX} characters", node.at)
            return joined
        side, value = (node.left, one) if kind is bool else (node.right, other)
        raise _misfit("'+'", NUMBER | STRING, side, value)

    return added


def _arithmetic(node: Binary, left: Program, right: Program) -> Program:
    work, who, at = _ARITHMETIC[node.operator], f"'{node.operator}'", node.at

    def worked(values: Sequence[Any]) -> Any:
        one, other = left(values), right(values)
        if type(one) not in NUMBER:
            raise _misfit(who, NUMBER, node.left, one)
        if type(other) not in NUMBER:
            raise _misfit(who, NUMBER, node.right, other)
        try:
            result = work(one, other)
        except ExpressionError as error:
            raise ExpressionError(error.message, at) from None
        if type(result) is int and not INT_MIN <= result <= INT_MAX:
            raise ExpressionError("the result is an integer of more than 64 bits", at)
        return result

    return worked


def _call(node: Call, scope: Scope, build: Build) -> Program:
    if is_aggregate(node, scope) or (scope is Scope.TRIGGER and node.name in RUNNING):
        return _of_input(node)
    if node.name == IF:
        return _if(node, *map(build, node.arguments))
    if node.name in SPECIAL:
        return _regex(node, build)
    function = FUNCTIONS[node.name]
    if function.gathers and len(node.arguments) > 1:
        gathered = Tuple(node.arguments, at=node.at, end=node.end)
        return _plain(node, function, [gathered], [_tuple(gathered, scope, build)])
    return _plain(node, function, node.arguments, [build(argument) for argument in node.arguments])


def _of_input(node: Call) -> Program:
    """A function of a column or of a trigger's history: both have a method of its name."""
    name, at = node.name, node.at
    index = next((argument.number - 1 for argument in node.arguments if isinstance(argument, Input)), None)

    def asked(values: Sequence[Any]) -> Any:
        try:
            return values[-1].of(name, index, None if index is None else values[index])
        except ExpressionError as error:
            raise ExpressionError(error.message, at) from None

    return asked


def _if(node: Call, condition: Program, then: Program, otherwise: Program) -> Program:
    def chosen(values: Sequence[Any]) -> Any:
        decision = condition(values)
        if decision is True:
            return then(values)
        if decision is False:
            return otherwise(values)
        raise _misfit(IF, BOOL, node.arguments[0], decision)

    return chosen


def _regex(node: Call, build: Build) -> Program:
    text, pattern, *rest = node.arguments
    if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
        raise ExpressionError("a pattern has to be written out as a text", pattern.at)
    work: Callable[..., Any]
    if node.name == REGEX_MATCHES:
        work, result = patterns.matches(pattern.value), BOOL
    else:
        work, result = patterns.replace(pattern.value), STRING
    function = Function((STRING,) * (1 + len(rest)), result, work)
    arguments = [text, *rest]
    return _plain(node, function, arguments, [build(argument) for argument in arguments])


def _plain(node: Call, function: Function, arguments: Sequence[Node], programs: Sequence[Program]) -> Program:
    """A call whose arguments are all evaluated first."""
    work = _guarded(node, function)
    if len(programs) > 1:
        return _several(node, work, list(zip(programs, function.parameters, arguments, strict=False)))
    (only,), (wanted, *_), (argument,), name = programs, function.parameters, arguments, node.name

    def called(values: Sequence[Any]) -> Any:
        value = only(values)
        if type(value) not in wanted:
            raise _misfit(name, wanted, argument, value)
        return work(value)

    return called


def _several(node: Call, work: Callable[..., Any], parts: Sequence[tuple[Program, Kinds, Node]]) -> Program:
    def called(values: Sequence[Any]) -> Any:
        given = []
        for evaluate, wanted, argument in parts:
            value = evaluate(values)
            if type(value) not in wanted:
                raise _misfit(node.name, wanted, argument, value)
            given.append(value)
        return work(*given)

    return called


def _guarded(node: Call, function: Function) -> Callable[..., Any]:
    """The function's code, whose errors say where they happened."""
    work, name, at = function.call, node.name, node.at

    def guarded(*given: Any) -> Any:
        try:
            return work(*given)
        except ExpressionError as error:
            raise ExpressionError(error.message, at) from None
        except OverflowError:
            raise ExpressionError(f"the numbers are too large for {name}", at) from None

    return guarded


def _misfit(who: str, wanted: Kinds, node: Node, value: object) -> ExpressionError:
    return ExpressionError(f"{who} takes {kinds_in_words(wanted)}, and {text_of(node)} is {describe(value)}", node.at)


_BUILD: dict[type[Node], Callable[[Any, Scope, Build], Program]] = {
    Literal: _literal,
    Input: _input,
    Tuple: _tuple,
    Unary: _unary,
    Binary: _binary,
    Call: _call,
}
