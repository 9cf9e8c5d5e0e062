"""Rules of transforms: each mistake at its place, down to the column inside an expression, and inside a JSON text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache

from flowrt.endpoints.topics import filter_fault
from flowrt.graph.artifacts import ARTIFACTS, kind_of_artifact
from flowrt.graph.document import parse
from flowrt.graph.graph import Graph, Loc
from flowrt.graph.inside import place
from flowrt.graph.tree import Mapping, Mark, Node, Scalar, at, child
from flowrt.operators.transform import CONFIGURATIONS, WINDOW, TransformOperation
from flowrt.problem import Problem
from flowrt.transforms.checking import Mistake, in_rules, in_throttle, in_triggers
from flowrt.transforms.json_text import TextError, TextMistake
from flowrt.transforms.rules import Rules, Throttle
from flowrt.transforms.settings import Settings
from flowrt.values import replace

SHOWN_MAX = 50
"""Mistakes shown of one operation's rules: finding where each stands takes time, and who has so many checks again."""
OWN = ("map", "filter", "branch", "datasets", "validateSchema")
"""What stands either in the operation or in its `rules`."""
SLIDES_MAX = 1000
"""Windows that a message may be in."""


def check(graph: Graph) -> Iterator[Problem]:
    """Every problem of every transform."""
    for index, operation in enumerate(graph.file.operations):
        if isinstance(operation, TransformOperation):
            yield from _transform(graph, ("operations", index), operation)


def _transform(graph: Graph, loc: Loc, operation: TransformOperation) -> Iterator[Problem]:
    yield from _texts(graph, loc, operation)
    try:
        settings = operation.settings()
    except TextError:
        return  # said already
    yield from _kinds(graph, loc, operation, settings)
    own = Rules.model_construct(
        datasets=operation.datasets, map=operation.map, filter=operation.filter, branch=operation.branch
    )
    yield from _mistakes(graph, loc, in_rules(own))
    if (rules := operation.given("rules")) is not None:
        yield from _mistakes(graph, (*loc, "rules"), in_rules(rules))
    if settings.throttle is not None:
        yield from _mistakes(graph, (*loc, "throttle"), in_throttle(settings.throttle), _topics(settings.throttle))
    if settings.triggers is not None:
        yield from _mistakes(graph, (*loc, "triggers"), in_triggers(settings.triggers))
    if not graph.repaired:
        yield from _forms(graph, loc, settings)


def _texts(graph: Graph, loc: Loc, operation: TransformOperation) -> Iterator[Problem]:
    """JSON texts that are none, or hold something else."""
    for key in CONFIGURATIONS:
        try:
            operation.given(key)
        except TextError as error:
            for mistake in error.mistakes:
                found = graph.problem((*loc, key), "bad-rules", f"{key}: {mistake.message}")
                yield _moved(found, _in_text(graph, (*loc, key), mistake))


def _kinds(graph: Graph, loc: Loc, operation: TransformOperation, settings: Settings) -> Iterator[Problem]:
    node = _node(graph.root, loc)
    doubled = [key for key in OWN if operation.rules is not None and child(node, key) is not None]
    if doubled:
        message = f"{doubled[0]} stands beside rules, which has a {doubled[0]} of its own; write one of the two"
        yield graph.problem((*loc, doubled[0]), "transform-kind", message)
    elif operation.module is not None and settings.kinds != (kind := kind_of_artifact(operation.module),):
        found = " and ".join(settings.kinds) or "none"
        if not graph.repaired:
            needs = ", ".join(ARTIFACTS[kind].keys) if kind in ARTIFACTS else "rules"
            message = f"'{operation.module}' is a {kind}, and the configuration given is of {found}; it takes {needs}"
            yield graph.problem((*loc, "module"), "transform-kind", message)
    elif len(settings.kinds) > 1 or (not settings.kinds and not graph.repaired):
        found = " and ".join(settings.kinds) or "none"
        message = f"a transform is exactly one of map, filter, branch, throttle or window, and this has {found}"
        yield graph.problem(loc, "transform-kind", f"{message}; make several transforms of it")
    elif settings.kinds == ("window",) and not graph.repaired:
        if not any(getattr(settings, key) is not None for key in WINDOW):
            message = f"nothing closes the window; add one of {', '.join(WINDOW)}"
            yield graph.problem(loc, "bad-rules", message)
        if settings.rules.accumulate is None:
            yield graph.problem(loc, "bad-rules", "the window gives no figures; add rules with `accumulate`")


def _topics(throttle: Throttle) -> Iterator[Mistake]:
    for index, rule in enumerate(throttle.per_topic_throttles):
        if fault := filter_fault(rule.topic):
            message = f"topic filter '{rule.topic}' can match nothing: {fault}"
            yield Mistake(("perTopicThrottles", index, "topic"), 0, message)


def _mistakes(graph: Graph, loc: Loc, *found: Iterable[Mistake]) -> Iterator[Problem]:
    mistakes = [mistake for group in found for mistake in group]
    for mistake in mistakes[:SHOWN_MAX]:
        last = next(part for part in reversed(mistake.loc) if isinstance(part, str))
        code = {"expression": "bad-expression", "trigger": "bad-expression", "inputs": "bad-path", "output": "bad-path"}
        label = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in mistake.loc).lstrip(".")
        column = f" (column {mistake.at})" if mistake.at else ""
        problem = graph.problem(
            (*loc, *mistake.loc), code.get(last, "bad-rules"), f"{label}: {mistake.message}{column}"
        )
        yield _moved(problem, _mark(graph, loc, mistake))
    if len(mistakes) > SHOWN_MAX:
        message = f"there are {len(mistakes) - SHOWN_MAX} mistakes more; mend these first"
        yield graph.problem(loc, "bad-rules", message)


def _forms(graph: Graph, loc: Loc, settings: Settings) -> Iterator[Problem]:
    """The windows that AIO does not have."""
    sliding, session = settings.sliding, settings.session
    given = [key for key in WINDOW if getattr(settings, key) is not None]
    if sliding is not None and given != ["sliding"]:
        message = f"sliding windows end by time alone; remove {' and '.join(key for key in given if key != 'sliding')}"
        yield graph.problem((*loc, "sliding"), "bad-rules", message)
    if session is not None and settings.delay is not None:
        yield graph.problem((*loc, "session"), "bad-rules", "a session has no fixed length; remove delay")
    if sliding is not None and not sliding.length / SLIDES_MAX <= sliding.every <= sliding.length:
        message = f"`every` is between a thousandth of `length` and `length`, and {sliding.every:g} s is not"
        yield graph.problem((*loc, "sliding"), "bad-rules", message)
    if session is not None and session.longest < session.gap:
        yield graph.problem((*loc, "session"), "bad-rules", "`longest` is shorter than `gap`")


def _moved(problem: Problem, mark: Mark) -> Problem:
    return replace(problem, line=mark.line, column=mark.column)


def _mark(graph: Graph, loc: Loc, mistake: Mistake) -> Mark:
    """Where a mistake stands: in the YAML, or in the JSON text at `loc`."""
    whole = _node(graph.root, loc)
    if isinstance(whole, Scalar):
        return _in_text(graph, loc, TextMistake("", loc=mistake.loc), mistake.at)
    node = _node(graph.root, (*loc, *mistake.loc))
    if isinstance(node, Scalar) and mistake.at:
        return place(graph.text, node, mistake.at - 1)
    return at(graph.root, (*loc, *mistake.loc))


def _in_text(graph: Graph, loc: Loc, mistake: TextMistake, column: int = 0) -> Mark:
    """A place in a JSON text, in the file. JSON is YAML: the reader of files knows where things stand in it."""
    scalar = _node(graph.root, loc)
    if not isinstance(scalar, Scalar) or not isinstance(scalar.value, str):
        return graph.mark(loc)
    text, offset = scalar.value, mistake.offset
    tree = _tree(text) if mistake.loc else None
    if tree is not None:
        node = _node(tree, mistake.loc)
        inner = place(text, node, column - 1) if isinstance(node, Scalar) and column else at(tree, mistake.loc)
        before = text.split("\n")[: inner.line - 1]
        offset = sum(len(line) + 1 for line in before) + inner.column - 1
    return place(graph.text, scalar, offset)


@lru_cache(maxsize=1)
def _tree(text: str) -> Mapping | None:
    """Of one text there may be many mistakes."""
    return parse(text.encode(errors="replace"), "")[0]


def _node(root: Node, loc: Loc) -> Node:
    """The value at `loc`, or the nearest around it."""
    for part in loc:
        found = child(root, part)
        if found is None:
            break
        root = found
    return root
