"""Expressions as straight-line Python, by their trees; see `straight`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowrt.transforms import patterns
from flowrt.transforms.functions import FUNCTIONS, IF, REGEX_MATCHES, SPECIAL
from flowrt.transforms.straight_code import Code, Found, TooMuch
from flowrt.transforms.tree import Binary, Call, Input, Literal, Node, Tuple, Unary, children
from flowrt.transforms.values import ANY, BOOL, EMPTY, FLOAT, INT_MAX, INT_MIN, NUMBER, STRING, TEXT_MAX, TUPLE, Kinds


class ExpressionCode(Code):
    """One function, with the values of expressions in it."""

    def value(self, node: Node, inputs: Sequence[Found]) -> Found:
        match node:
            case Literal():
                return self.constant(node.value), frozenset({type(node.value)})
            case Input():
                return self.seen(*inputs[node.number - 1])
            case Tuple():
                items = [self.needs(self.value(item, inputs), ANY)[0] for item in node.items]
                return ("None", frozenset({EMPTY})) if not items else self.set(f"({', '.join(items)})", TUPLE)
            case Unary("!"):
                return self.set(f"not {self.needs(self.value(node.operand, inputs), BOOL)[0]}", BOOL)
            case Unary():
                value, kinds = self.needs(self.value(node.operand, inputs), NUMBER)
                return self._number(f"-{value}", kinds)
            case Binary("&&" | "||"):
                return self._logic(node, inputs)
            case Binary():
                left, right = self.value(node.left, inputs), self.value(node.right, inputs)
                return self._binary(node.operator, left, right)
            case Call():
                return self._call(node, inputs)
        raise TooMuch

    def _number(self, text: str, kinds: Kinds) -> Found:
        """A result that is an int of 64 bits, if it is an int."""
        value, _ = self.set(text, kinds)
        if int in kinds:
            kind = f"type({value}) is int and " if float in kinds else ""
            self.line(f"if {kind}not {INT_MIN} <= {value} <= {INT_MAX}: raise Odd")
        return value, kinds

    def _logic(self, node: Binary, inputs: Sequence[Found]) -> Found:
        left, _ = self.needs(self.value(node.left, inputs), BOOL)
        value, _ = self.set(left, BOOL)
        with self.block(f"if {value}:" if node.operator == "&&" else f"if not {value}:"):
            right, _ = self.needs(self.value(node.right, inputs), BOOL)
            self.line(f"{value} = {right}")
        return value, BOOL

    def _binary(self, operator: str, left: Found, right: Found) -> Found:
        if operator in ("==", "!="):
            return self._equality(operator, left, right)
        if operator in ("<", ">", "<=", ">="):
            alike = next((kinds for kinds in (STRING, BOOL) if left[1] <= kinds or right[1] <= kinds), NUMBER)
            return self.set(f"{self.needs(left, alike)[0]} {operator} {self.needs(right, alike)[0]}", BOOL)
        if operator == "+":
            return self._plus(left, right)
        (one, first), (other, second) = self.needs(left, NUMBER), self.needs(right, NUMBER)
        if operator in ("/", "%", "^"):
            kinds = FLOAT if operator == "^" else _arithmetic(first, second)
            return self.set(f"{_WORK[operator]}({one}, {other})", kinds)
        return self._number(f"{one} {operator} {other}", _arithmetic(first, second))

    def _equality(self, operator: str, left: Found, right: Found) -> Found:
        """Python's own where one side can be equal to its own kind only."""
        left, right = self.needs(left, ANY), self.needs(right, ANY)
        for kinds in (STRING, frozenset({EMPTY})):
            if left[1] <= kinds or right[1] <= kinds:
                return self.set(f"{left[0]} {operator} {right[0]}", BOOL)
        if left[1] <= NUMBER and right[1] <= NUMBER:
            return self.set(f"{left[0]} {operator} {right[0]}", BOOL)
        negated = "not " if operator == "!=" else ""
        return self.set(f"{negated}equal({left[0]}, {right[0]})", BOOL)

    def _plus(self, left: Found, right: Found) -> Found:
        if left[1] <= STRING or right[1] <= STRING:
            value, _ = self.set(f"{self._text(left)} + {self._text(right)}", STRING)
            self.line(f"if len({value}) > {TEXT_MAX}: raise Odd")
            return value, STRING
        if left[1] <= NUMBER or right[1] <= NUMBER:
            return self._sum(left, right)
        value, _ = self.set(left[0], ANY)
        with self.block(f"if type({left[0]}) is str and type({right[0]}) is str:"):
            self.line(f"{value} = {left[0]} + {right[0]}")
            self.line(f"if len({value}) > {TEXT_MAX}: raise Odd")
        with self.block("else:"):
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
        text, _ = self.set(value, ANY)
        with self.block(f"if type({text}) is not str:"):
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
        given = [self.value(argument, inputs) for argument in arguments]
        values = [self.needs(each, wanted)[0] for each, wanted in zip(given, function.parameters, strict=False)]
        return self.set(f"{self.constant(function.call)}({', '.join(values)})", function.result)

    def _if(self, node: Call, inputs: Sequence[Found]) -> Found:
        condition, then, otherwise = node.arguments
        decision, _ = self.needs(self.value(condition, inputs), BOOL)
        value, kinds = self.variable(), frozenset[type]()
        for head, branch in ((f"if {decision}:", then), ("else:", otherwise)):
            with self.block(head):
                found, more = self.needs(self.value(branch, inputs), ANY)
                self.line(f"{value} = {found}")
                kinds |= more
        return value, kinds

    def _regex(self, node: Call, inputs: Sequence[Found]) -> Found:
        text, pattern, *rest = node.arguments
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
            raise TooMuch
        matching = node.name == REGEX_MATCHES
        work = (patterns.matches if matching else patterns.replace)(pattern.value)
        values = [self.needs(self.value(argument, inputs), STRING)[0] for argument in (text, *rest)]
        return self.set(f"{self.constant(work)}({', '.join(values)})", BOOL if matching else STRING)


def _arithmetic(left: Kinds, right: Kinds) -> Kinds:
    if left == FLOAT or right == FLOAT:
        return FLOAT
    return NUMBER if float in left | right else left


def certain(node: Node) -> Iterator[int]:
    """The inputs that an evaluation looks at, whatever they are."""
    match node:
        case Input():
            yield node.number
        case Binary("&&" | "||"):
            yield from certain(node.left)
        case Call(name) if name == IF:
            yield from certain(node.arguments[0])
        case _:
            for child in children(node):
                yield from certain(child)


_WORK = {"/": "divide", "%": "remainder", "^": "power"}
