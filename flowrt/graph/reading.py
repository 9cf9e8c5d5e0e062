"""From a file's bytes to a `Graph`: YAML, variables, AIO's built-ins, the short form, the fields' types and bounds."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping as Lookup
from dataclasses import replace
from functools import reduce

from pydantic import ValidationError

from flowrt.graph.artifacts import expand as expand_artifacts
from flowrt.graph.document import parse
from flowrt.graph.graph import Graph, Reading
from flowrt.graph.locate import nulls_of, problems_of
from flowrt.graph.model import GraphFile
from flowrt.graph.narrowing import model_of
from flowrt.graph.recovery import repair, without
from flowrt.graph.shortform import SINK, SOURCE, expand
from flowrt.graph.tree import Mapping, Scalar, Sequence, plain
from flowrt.graph.variables import Variables
from flowrt.options.validation import value_of
from flowrt.problem import Problem

_REPAIRS = 12
"""Rounds of leaving out what is wrong; three are enough for any file seen."""

_MANY = 500
"""Mistakes beyond which the rest is not checked as well: who has so many will run the check again."""


def read(data: bytes, path: str, sets: Lookup[str, str], environ: Lookup[str, str]) -> Reading:
    """Read a graph file. `path` is what problems name; nothing is opened."""
    root, problems = parse(data, path)
    if root is None:
        return Reading(None, problems)
    variables = Variables(path, sets, environ)
    root = without_empty_modules(variables.fill_mapping(root))
    problems += variables.problems
    root, found = expand_artifacts(root, path, sets)
    problems += found
    graph, found = validate(root, path)
    if graph is not None and graph.file.modules:
        found += _two_forms(root, path)
        names = list(_names(graph))
        graph, more = (None, names) if names else validate(expand(graph.root), path)
        found += more
    if graph is not None:
        graph = replace(graph, text=data.decode("utf-8-sig"))
    return Reading(graph, problems + found, frozenset(variables.used))


def validate(root: Mapping, path: str) -> tuple[Graph | None, list[Problem]]:
    """The file's values and what is wrong with them. Fields that AIO sets to null to mean "not set" are left out first;
    then what is wrong is, so that the checks see the rest."""
    problems: list[Problem] | None = None
    whole = True
    for _ in range(_REPAIRS):
        try:
            return Graph(path, _parse(root), root, whole, repaired=problems is not None), problems or []
        except ValidationError as error:
            nulls = nulls_of(error, root) if problems is None else []
            if nulls:
                root = reduce(without, nulls, root)
                continue
            if problems is None:
                problems = problems_of(error, root, path)
            if error.error_count() > _MANY:
                break
            root, kept = repair(error, root)
            whole = whole and kept
    return None, problems or []


def _parse(root: Mapping) -> GraphFile:
    file: GraphFile = value_of(model_of(root).model_validate(plain(root), by_alias=True, by_name=False))
    return file


def _two_forms(root: Mapping, path: str) -> list[Problem]:
    entry = root.entries.get("operations") or root.entries.get("connections")
    if entry is None:
        return []
    message = "`modules` is the short form of a whole graph; write either `modules` or `operations` with `connections`"
    return [Problem(path, entry.mark.line, entry.mark.column, "two-forms", message)]


def _names(graph: Graph) -> Iterator[Problem]:
    """Names of the short form's modules that stand twice: they would be operations of one name."""
    first = {SOURCE: "as the name of the chain's own beginning", SINK: "as the name of the chain's own end"}
    for index, module in enumerate(graph.file.modules):
        loc = ("modules", index, "name")
        if module.name in first:
            message = f"the name '{module.name}' is taken, {first[module.name]}; rename one"
            yield graph.problem(loc, "duplicate-name", message)
        first.setdefault(module.name, f"first in line {graph.mark(loc).line}")


def without_empty_modules(root: Mapping) -> Mapping:
    """AIO writes an empty `module:` where an operation has none."""
    operations = root.get("operations")
    for index in range(len(operations.items) if isinstance(operations, Sequence) else 0):
        operation = operations.items[index]  # type: ignore[union-attr]
        module = operation.get("module") if isinstance(operation, Mapping) else None
        if isinstance(module, Scalar) and module.value is None:
            root = without(root, ("operations", index, "module"))
    return root
