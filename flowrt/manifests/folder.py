"""A folder of manifests: its YAML documents, sorted by kind, and what is wrong with them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from flowrt.graph.document import parse
from flowrt.graph.locate import problems_of
from flowrt.graph.recovery import without
from flowrt.graph.tree import Mapping as Tree
from flowrt.graph.tree import Node, plain
from flowrt.manifests.bindings_file import FILE, Bindings
from flowrt.manifests.resources import GROUP, KINDS, Resource
from flowrt.manifests.trees import placed, text_of
from flowrt.options import Options
from flowrt.problem import Problem, Severity, nearest
from flowrt.values import Struct, field

FILES_MAX = 1000
"""Manifests of one folder."""
_SEPARATOR = re.compile(r"^---([ \t].*)?$", re.MULTILINE)

Model = TypeVar("Model", bound=Options)


class Found(Struct, frozen=True):
    """One resource: what it says, and where it says it."""

    resource: Resource
    tree: Tree

    @property
    def spec(self) -> Node | None:
        return self.tree.get("spec")


class Folder(Struct):
    """What stands in a folder."""

    path: Path
    bindings: Bindings = field(default_factory=Bindings)
    bindings_tree: Tree | None = None
    resources: dict[str, dict[str, Found]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    """By kind and name."""
    definitions: list[tuple[Path, Tree]] = field(default_factory=list)
    """Graph definitions that stand beside the resources, for artifacts to name."""
    problems: list[Problem] = field(default_factory=list)

    def problem(self, node: Node, code: str, message: str, severity: Severity = Severity.ERROR) -> None:
        """At a value of one of the folder's files."""
        mark = node.mark
        found = Problem(mark.path or str(self.path), mark.line, mark.column, code, message, None, severity)
        self.problems.append(found)

    def warn(self, node: Node, code: str, message: str) -> None:
        self.problem(node, code, message, Severity.WARNING)


def read(path: Path) -> Folder:
    """Read every `.yaml` and `.yml` of a folder; raises nothing."""
    folder = Folder(path)
    files = sorted(file for file in path.iterdir() if file.suffix in {".yaml", ".yml"} and file.is_file())
    for file in files[:FILES_MAX]:
        try:
            data = file.read_bytes()
        except OSError as error:
            folder.problems.append(Problem(str(file), 0, 0, "unreadable-file", f"it cannot be read: {error.strerror}"))
            continue
        for root in _documents(folder, file, data):
            _take(folder, file, root)
    if not folder.resources["DataflowGraph"] and not folder.problems:
        folder.problems.append(
            Problem(str(path), 0, 0, "no-manifest", "the folder holds no DataflowGraph; name a graph file, or add one")
        )
    return folder


def _documents(folder: Folder, file: Path, data: bytes) -> Iterator[Tree]:
    """The documents of a file. Each is read by itself, with empty lines in the place of what stands before it."""
    text = data.decode("utf-8-sig", "surrogateescape")  # what is no UTF-8 is the reader's to report
    starts = [0, *(match.end() for match in _SEPARATOR.finditer(text))]
    ends = [*(match.start() for match in _SEPARATOR.finditer(text)), len(text)]
    for start, end in zip(starts, ends, strict=True):
        if not _written(text[start:end]):
            continue
        part = "\n" * text.count("\n", 0, start) + text[start:end]
        root, problems = parse(part.encode(errors="surrogateescape"), str(file))
        folder.problems += problems
        if root is not None:
            found = placed(root, str(file))
            assert isinstance(found, Tree)  # noqa: S101 - it was one
            yield found


def _written(part: str) -> bool:
    return any(line.strip() and not line.lstrip().startswith("#") for line in part.splitlines())


def _take(folder: Folder, file: Path, root: Tree) -> None:
    if file.name == FILE:
        folder.bindings_tree = root
        folder.bindings = _validated(folder, root, file, Bindings) or Bindings()
        return
    kind = text_of(root, "kind")
    if not kind:
        if "operations" in root.entries:
            folder.definitions.append((file, root))
        return
    if not text_of(root, "apiVersion").startswith(GROUP + "/"):
        folder.warn(root, "foreign-manifest", f"a {kind} of {text_of(root, 'apiVersion') or 'nobody'} is passed over")
        return
    if kind not in KINDS:
        near = nearest(kind, KINDS) or f"; read are {', '.join(KINDS)}"
        folder.warn(root, "foreign-manifest", f"a {kind} is passed over{near}")
        return
    resource = _validated(folder, root, file, KINDS[kind])
    if resource is None:
        return
    name = resource.metadata.name
    if name in folder.resources[kind]:
        folder.problem(root, "duplicate-name", f"there is a {kind} '{name}' already; rename one")
        return
    folder.resources[kind][name] = Found(resource, root)


def _validated(folder: Folder, root: Tree, file: Path, model: type[Model]) -> Model | None:
    """A document as its model. What nobody knows is a warning and left out."""
    for _ in range(2):
        try:
            return model.model_validate(plain(root), by_alias=True, by_name=False)
        except ValidationError as error:
            problems = problems_of(error, root, str(file), model)
            folder.problems += [
                problem if problem.code != "unknown-field" else _as_warning(problem) for problem in problems
            ]
            details = error.errors(include_url=False)
            if any(detail["type"] != "extra_forbidden" for detail in details):
                return None
            for detail in sorted(details, key=lambda detail: str(detail["loc"]), reverse=True):
                root = without(root, detail["loc"])
    return None


def _as_warning(problem: Problem) -> Problem:
    return Problem(
        problem.path, problem.line, problem.column, problem.code, problem.message, problem.node, Severity.WARNING
    )
