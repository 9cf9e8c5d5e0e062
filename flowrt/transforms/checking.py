"""What is wrong with the rules of a transform, before any message: every mistake, with where it stands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from flowrt.problem import nearest
from flowrt.transforms.expression import mistakes
from flowrt.transforms.functions import AGGREGATES
from flowrt.transforms.grammar import parse
from flowrt.transforms.paths import InputPath, Path, parse_input, parse_path
from flowrt.transforms.rules import AccumulateRule, Dataset, MapRule, Rules, Throttle, WindowTriggers
from flowrt.transforms.tree import Call, ExpressionError, walk
from flowrt.transforms.types import Scope
from flowrt.transforms.values import ANY, BOOL, Kinds
from flowrt.values import Struct

Loc = tuple[str | int, ...]


class Mistake(Struct, frozen=True):
    """Something wrong in a rule."""

    loc: Loc
    """Keys and indices of the text it stands in, as a user writes them."""
    at: int
    """Column in that text, from 1; 0 where all of it is meant."""
    message: str


class _Allowed(Struct, frozen=True):
    """What inputs may be in some kind of rule."""

    where: str
    wildcard: bool = False
    metadata: bool = True
    fallbacks: bool = True
    aliases: Sequence[str] | None = ()
    """Datasets that may be named; None where none may."""


def in_rules(rules: Rules) -> Iterator[Mistake]:
    """Of a map, a filter, a branch or a window."""
    yield from _datasets(rules.datasets, ("datasets",))
    aliases = [dataset.alias for dataset in rules.datasets]
    for index, rule in enumerate(rules.map or ()):
        yield from _map_rule(rule, ("map", index), _Allowed("a map", wildcard=True, aliases=aliases))
    for index, condition in enumerate(rules.filter or ()):
        allowed, loc = _Allowed("a filter", aliases=aliases), ("filter", index)
        yield from _condition(condition.inputs, condition.expression, loc, allowed)
    if rules.branch is not None:
        allowed = _Allowed("a branch", aliases=aliases)
        yield from _condition(rules.branch.inputs, rules.branch.expression, ("branch",), allowed)
    yield from _accumulation(rules.accumulate or ())


def in_throttle(throttle: Throttle) -> Iterator[Mistake]:
    """Of a throttle, but for the topic filters themselves."""
    first: dict[str, int] = {}
    for index, rule in enumerate(throttle.per_topic_throttles):
        if rule.topic in first:
            message = f"the topic filter '{rule.topic}' stands here a second time and would never be tried; remove it"
            yield Mistake(("perTopicThrottles", index, "topic"), 0, message)
        first.setdefault(rule.topic, index)


def in_triggers(triggers: WindowTriggers) -> Iterator[Mistake]:
    """Of a window's triggers."""
    yield from _datasets(triggers.datasets, ("datasets",))
    allowed = _Allowed("a trigger", aliases=[dataset.alias for dataset in triggers.datasets])
    for index, rule in enumerate(triggers.rules):
        loc: Loc = ("rules", index)
        yield from _inputs(rule.inputs, loc, allowed)
        yield from _expression(rule.trigger, len(rule.inputs), (*loc, "trigger"), Scope.TRIGGER, BOOL)


def _map_rule(rule: MapRule, loc: Loc, allowed: _Allowed) -> Iterator[Mistake]:
    paths, found = _parsed(rule.inputs, loc, allowed)
    yield from found
    stars = [given.path.wildcard is not None for given in paths]
    if rule.output == "":
        yield from _removal(rule, loc)
        return
    try:
        output = parse_path(rule.output)
    except ExpressionError as error:
        yield Mistake((*loc, "output"), error.at, error.message)
    else:
        yield from _output(rule, output, loc, star=any(stars))
    if any(stars) and not stars[0]:
        yield Mistake((*loc, "inputs", 0), 0, "the first input has to have the wildcard: it says what * stands for")
    if rule.expression is not None:
        yield from _expression(rule.expression, len(rule.inputs), (*loc, "expression"))
    elif not rule.inputs:
        yield Mistake((*loc, "inputs"), 0, "a rule without inputs needs an expression; add an input or an expression")


def _removal(rule: MapRule, loc: Loc) -> Iterator[Mistake]:
    if rule.expression is not None:
        message = "a rule with the output '' removes its inputs and takes no expression; name an output, or remove it"
        yield Mistake((*loc, "expression"), 0, message)
    if not rule.inputs:
        yield Mistake((*loc, "inputs"), 0, "a rule with the output '' removes its inputs, and there are none")


def _output(rule: MapRule, output: Path, loc: Loc, *, star: bool) -> Iterator[Mistake]:
    loc = (*loc, "output")
    if output.place in ("context", "source"):
        yield Mistake(loc, 1, f"nothing can be written to {rule.output}; write to a field or to $metadata")
    elif star and output.wildcard is None:
        yield Mistake(loc, 0, "the inputs have a wildcard and the output has none; put the * where its fields belong")
    elif output.wildcard is not None and not star:
        yield Mistake(loc, 0, "the output has a wildcard and the inputs have none; write the field's name")


def _condition(inputs: Sequence[str], text: str, loc: Loc, allowed: _Allowed) -> Iterator[Mistake]:
    yield from _inputs(inputs, loc, allowed)
    yield from _expression(text, len(inputs), (*loc, "expression"), wanted=BOOL)


def _accumulation(rules: Sequence[AccumulateRule]) -> Iterator[Mistake]:
    allowed = _Allowed("an accumulation rule", metadata=False, fallbacks=False, aliases=None)
    first: dict[str, int] = {}
    for index, rule in enumerate(rules):
        loc: Loc = ("accumulate", index)
        yield from _inputs(rule.inputs, loc, allowed)
        if rule.output in first:
            yield Mistake((*loc, "output"), 0, f"the output '{rule.output}' stands here a second time; name another")
        first.setdefault(rule.output, index)
        try:
            output = parse_path(rule.output)
        except ExpressionError as error:
            yield Mistake((*loc, "output"), error.at, error.message)
        else:
            if output.place != "payload" or output.wildcard is not None:
                yield Mistake((*loc, "output"), 1, "a window writes fields only; name one")
        found = list(_expression(rule.expression, len(rule.inputs), (*loc, "expression"), Scope.WINDOW))
        yield from found
        if not found and not _aggregates(rule.expression):
            message = f"it uses no aggregation function; put an input into one of {', '.join(AGGREGATES)}"
            yield Mistake((*loc, "expression"), 0, message)


def _aggregates(text: str) -> bool:
    return any(isinstance(node, Call) and node.name in AGGREGATES for node in walk(parse(text)))


def _datasets(datasets: Sequence[Dataset], loc: Loc) -> Iterator[Mistake]:
    first: dict[str, int] = {}
    for index, dataset in enumerate(datasets):
        here = (*loc, index)
        if dataset.alias in first:
            yield Mistake((*here, "key"), 0, f"a dataset '{dataset.alias}' stands before; name one with ` as ALIAS`")
        first.setdefault(dataset.alias, index)
        for number, text in enumerate(dataset.inputs):
            yield from _dataset_input(text, (*here, "inputs", number))
        yield from _expression(dataset.expression, len(dataset.inputs), (*here, "expression"), wanted=BOOL)


def _dataset_input(text: str, loc: Loc) -> Iterator[Mistake]:
    try:
        given = parse_input(text)
    except ExpressionError as error:
        yield Mistake(loc, error.at, error.message)
        return
    path = given.path
    if path.place not in ("source", "context") or path.alias:
        message = f"'{text}' has to begin with $source. (the message) or $context. (the record)"
        yield Mistake(loc, 1, message)
    elif path.wildcard is not None or given.last or given.has_default:
        yield Mistake(loc, 1, "a dataset's input is one field, without wildcard, ? $last and ??")


def _inputs(inputs: Sequence[str], loc: Loc, allowed: _Allowed) -> list[Mistake]:
    return _parsed(inputs, loc, allowed)[1]


def _parsed(inputs: Sequence[str], loc: Loc, allowed: _Allowed) -> tuple[list[InputPath], list[Mistake]]:
    paths: list[InputPath] = []
    found: list[Mistake] = []
    for index, text in enumerate(inputs):
        here = (*loc, "inputs", index)
        try:
            given = parse_input(text)
        except ExpressionError as error:
            found.append(Mistake(here, error.at, error.message))
            continue
        paths.append(given)
        found += [Mistake(here, 1, message) for message in _refused(given, index, allowed)]
    return paths, found


def _refused(given: InputPath, index: int, allowed: _Allowed) -> Iterable[str]:
    path, where = given.path, allowed.where
    if path.place == "source":
        yield "$source stands in conditions of datasets only; leave it out"
    if path.wildcard is not None and not allowed.wildcard:
        yield f"{where} takes no wildcards; name one field"
    elif path.wildcard is not None and (given.last or (given.has_default and index == 0)):
        yield "a field that a wildcard finds is there: it takes no ? $last, and as the first input no ??"
    if path.place in ("topic", "property", "contentType") and not allowed.metadata:
        yield f"{where} reads no metadata; name a field"
    if (given.last or given.has_default) and not allowed.fallbacks:
        yield f"{where} takes no ? $last and no ??; leave it out"
    if path.place == "context":
        yield from _unknown_dataset(path, allowed)


def _unknown_dataset(path: Path, allowed: _Allowed) -> Iterable[str]:
    if allowed.aliases is None:
        yield f"{allowed.where} is not enriched; name a field of the message"
    elif path.alias not in allowed.aliases:
        known = f"; known are {', '.join(allowed.aliases)}" if allowed.aliases else "; add it to `datasets`"
        yield f"there is no dataset '{path.alias}'{nearest(path.alias, allowed.aliases) or known}"


def _expression(text: str, inputs: int, loc: Loc, scope: Scope = Scope.RULE, wanted: Kinds = ANY) -> Iterator[Mistake]:
    for error in mistakes(text, inputs, scope, wanted):
        yield Mistake(loc, error.at, error.message)
