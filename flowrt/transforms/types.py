"""What can be known of an expression's types before any message: every misfit, each with its column."""

from __future__ import annotations

import enum
from collections.abc import Sequence

from flowrt.problem import nearest
from flowrt.transforms.functions import (
    AGGREGATES,
    FUNCTIONS,
    IF,
    REGEX_MATCHES,
    REGEX_REPLACE,
    RUNNING,
    SPECIAL,
)
from flowrt.transforms.patterns import compiled
from flowrt.transforms.tree import Binary, Call, ExpressionError, Input, Literal, Node, Tuple, Unary, text_of
from flowrt.transforms.values import (
    ANY,
    BOOL,
    EMPTY,
    FLOAT,
    INT,
    INT_MAX,
    INT_MIN,
    NUMBER,
    STRING,
    TUPLE,
    Kinds,
    kinds_in_words,
)

ORDERED: tuple[Kinds, ...] = (NUMBER, STRING, BOOL)
"""Kinds of which two values of one can be compared with `<`."""
JOINED: Kinds = NUMBER | STRING | BOOL
"""What `+` puts beside a string."""


class Scope(enum.Enum):
    """Where an expression stands, which decides what functions there are and what `$1` is."""

    RULE = "a rule"
    WINDOW = "an accumulation rule"
    """`$1` is a column, and stands in an aggregation function only."""
    TRIGGER = "a trigger"


def check(node: Node, inputs: int, scope: Scope = Scope.RULE, wanted: Kinds = ANY) -> list[ExpressionError]:
    """Every mistake in an expression that is given `inputs` values and has to give one of the kinds `wanted`."""
    checker = _Checker(inputs, scope)
    kinds = checker.kinds(node)
    if not checker.errors and not kinds & wanted:
        checker.errors.append(
            ExpressionError(
                f"the result has to be {kinds_in_words(wanted)}, and it is {kinds_in_words(kinds)}", node.at
            )
        )
    return checker.errors


def is_aggregate(node: Node, scope: Scope) -> bool:
    """Whether a call is one of an accumulation rule's functions: `min($1)` is, `min($1, 2)` is not."""
    return (
        scope is Scope.WINDOW
        and isinstance(node, Call)
        and node.name in AGGREGATES
        and (node.name not in FUNCTIONS or (len(node.arguments) == 1 and isinstance(node.arguments[0], Input)))
    )


class _Checker:
    def __init__(self, inputs: int, scope: Scope) -> None:
        self.errors: list[ExpressionError] = []
        self._inputs = inputs
        self._scope = scope

    def kinds(self, node: Node) -> Kinds:
        """What a node's value may be; `ANY` after a mistake, so that it is said once."""
        match node:
            case Literal():
                return self._literal(node)
            case Input():
                return self._input(node)
            case Unary():
                wanted = NUMBER if node.operator == "-" else BOOL
                return self._wants(node.operand, self.kinds(node.operand), wanted, f"'{node.operator}'")
            case Binary():
                return self._binary(node, self.kinds(node.left), self.kinds(node.right))
            case Tuple():
                for item in node.items:
                    self.kinds(item)
                return TUPLE if node.items else frozenset({EMPTY})
            case Call():
                return self._call(node)
        raise TypeError(type(node))

    def _error(self, message: str, node: Node) -> Kinds:
        self.errors.append(ExpressionError(message, node.at))
        return ANY

    def _literal(self, node: Literal) -> Kinds:
        value = node.value
        if type(value) is int and not INT_MIN <= value <= INT_MAX:
            return self._error("the number does not fit into 64 bits; write it as a float, with .0", node)
        return frozenset({type(value)})

    def _input(self, node: Input) -> Kinds:
        if not 1 <= node.number <= self._inputs:
            return self._error(self._no_input(node.number), node)
        if self._scope is Scope.WINDOW:
            known = ", ".join(AGGREGATES)
            return self._error(
                f"${node.number} is a whole window of values; put it by itself into one of {known}", node
            )
        return ANY

    def _wants(self, node: Node, found: Kinds, wanted: Kinds, who: str) -> Kinds:
        """What is left of `found`. A mistake when nothing is; then it could be anything, so that no other follows."""
        if found & wanted:
            return found & wanted
        message = f"{who} takes {kinds_in_words(wanted)}, and {text_of(node)} is {kinds_in_words(found)}"
        return self._error(message, node)

    def _binary(self, node: Binary, left: Kinds, right: Kinds) -> Kinds:
        who = f"'{node.operator}'"
        if node.operator in ("&&", "||"):
            self._wants(node.left, left, BOOL, who)
            self._wants(node.right, right, BOOL, who)
            return BOOL
        if node.operator in ("==", "!="):
            return BOOL
        if node.operator in ("<", ">", "<=", ">="):
            return self._order(node, left, right, who)
        if node.operator == "+":
            return self._plus(node, left, right)
        left = self._wants(node.left, left, NUMBER, who)
        right = self._wants(node.right, right, NUMBER, who)
        return FLOAT if node.operator == "^" else _arithmetic(left, right)

    def _order(self, node: Binary, left: Kinds, right: Kinds, who: str) -> Kinds:
        anything = NUMBER | STRING | BOOL
        left, right = self._wants(node.left, left, anything, who), self._wants(node.right, right, anything, who)
        if not any(left & kinds and right & kinds for kinds in ORDERED):
            sides = f"{kinds_in_words(left)} on the left and {kinds_in_words(right)} on the right"
            self._error(f"{who} compares two numbers, two strings or two booleans, not {sides}", node)
        return BOOL

    def _plus(self, node: Binary, left: Kinds, right: Kinds) -> Kinds:
        left, right = self._wants(node.left, left, JOINED, "'+'"), self._wants(node.right, right, JOINED, "'+'")
        result = _arithmetic(left, right) if left & NUMBER and right & NUMBER else frozenset()
        if str in left or str in right:
            result |= STRING
        if not result:
            sides = f"{kinds_in_words(left)} and {kinds_in_words(right)}"
            return self._error(f"'+' adds numbers, or joins texts when one side is a string, not {sides}", node)
        return result

    def _call(self, node: Call) -> Kinds:
        if is_aggregate(node, self._scope):
            return self._of_input(node, AGGREGATES[node.name])
        if self._scope is Scope.TRIGGER and node.name in RUNNING:
            if node.name == "running_count" and not node.arguments:
                return INT
            return self._of_input(node, RUNNING[node.name])
        given = [self.kinds(argument) for argument in node.arguments]
        if node.name in SPECIAL:
            return self._special(node, given)
        function = FUNCTIONS.get(node.name)
        if function is None:
            return self._unknown(node)
        parameters = function.parameters
        if function.gathers and len(given) > 1:
            self._wants(node, TUPLE, parameters[0], node.name)
            return function.result
        if self._count(node, len(parameters) - function.optional, len(parameters)):
            self._arguments(node, given, parameters)
        return function.result

    def _unknown(self, node: Call) -> Kinds:
        homes = {**dict.fromkeys(AGGREGATES, Scope.WINDOW), **dict.fromkeys(RUNNING, Scope.TRIGGER)}
        if node.name in homes:
            return self._error(f"{node.name} is available in {homes[node.name].value} of a window only", node)
        known = [*FUNCTIONS, *SPECIAL]
        whole = [name for name in known if name.rpartition("::")[2].lower() == node.name.lower()]
        remedy = f"; did you mean '{whole[0]}'?" if whole else nearest(node.name, known)
        return self._error(f"there is no function '{node.name}'{remedy}", node)

    def _of_input(self, node: Call, result: Kinds) -> Kinds:
        """A function of a whole column: its argument is `$n` and nothing else."""
        argument = node.arguments[0] if len(node.arguments) == 1 else None
        if not isinstance(argument, Input):
            self._error(f"{node.name} takes one input as it stands, such as {node.name}($1)", node)
        elif not 1 <= argument.number <= self._inputs:
            self._error(self._no_input(argument.number), argument)
        return result

    def _no_input(self, number: int) -> str:
        there = {0: "there are no inputs", 1: "there is one input, $1"}
        return f"there is no ${number}: {there.get(self._inputs, f'there are {self._inputs} inputs')}"

    def _special(self, node: Call, given: Sequence[Kinds]) -> Kinds:
        parameters, result = SPECIAL[node.name]
        if not self._count(node, len(parameters), len(parameters)):
            return result
        self._arguments(node, given, parameters)
        if node.name == IF:
            return given[1] | given[2]
        pattern = node.arguments[1]
        if node.name in (REGEX_MATCHES, REGEX_REPLACE) and not isinstance(pattern, Literal):
            self._error("a pattern has to be written out as a text, so that no message can bring its own", pattern)
        elif isinstance(pattern, Literal) and isinstance(pattern.value, str):
            try:
                compiled(pattern.value)
            except ExpressionError as error:
                self._error(error.message, pattern)
        return result

    def _arguments(self, node: Call, given: Sequence[Kinds], parameters: Sequence[Kinds]) -> None:
        for argument, found, wanted in zip(node.arguments, given, parameters, strict=False):
            self._wants(argument, found, wanted, node.name)

    def _count(self, node: Call, least: int, most: int) -> bool:
        found = len(node.arguments)
        if least <= found <= most:
            return True
        takes = f"{least}" if least == most else f"{least} to {most}"
        noun = "argument" if takes == "1" else "arguments"
        self._error(f"{node.name} takes {takes} {noun}, and {found} {'is' if found == 1 else 'are'} given", node)
        return False


def _arithmetic(left: Kinds, right: Kinds) -> Kinds:
    left, right = left & NUMBER, right & NUMBER
    if float in left & right and len(left) == len(right) == 1:
        return FLOAT
    if left == INT and right == INT:
        return INT
    return FLOAT if left == FLOAT or right == FLOAT else NUMBER
