"""From a test file's bytes to its model, with every problem at its place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import ValidationError

from flowrt.graph.document import parse
from flowrt.graph.locate import problems_of
from flowrt.graph.tree import plain
from flowrt.graphtest.model import AioTest, TestFile
from flowrt.problem import Problem, in_order

SUFFIXES = (".test.yaml", ".test.yml")
_OF_AIO = ("input", "expected", "select", "ignores")


def find(paths: list[Path]) -> Iterator[Path]:
    """Test files: those named, and all below the folders named, in order, each once."""
    seen: set[Path] = set()
    for path in paths:
        below = sorted(each for suffix in SUFFIXES for each in path.rglob(f"*{suffix}")) if path.is_dir() else [path]
        for file in below:
            if (key := file.resolve()) not in seen:
                seen.add(key)
                yield file


def read_tests(path: Path) -> tuple[TestFile | AioTest | None, list[Problem]]:
    """The tests of a file, in whichever form, or None; and what is wrong with it."""
    try:
        data = path.read_bytes()
    except OSError as error:
        message = f"the file cannot be read: {error.strerror or error}; check its path and permissions"
        return None, [Problem(str(path), 0, 0, "unreadable-file", message)]
    root, problems = parse(data, str(path))
    if root is None or problems:
        return None, in_order(problems)
    model = AioTest if any(key in root.entries for key in _OF_AIO) else TestFile
    try:
        file = model.model_validate(plain(root), by_alias=True, by_name=False)
    except ValidationError as error:
        return None, in_order(problems_of(error, root, str(path), model))
    if isinstance(file, TestFile) and not file.cases:
        mark = root.entries["cases"].value.mark
        return None, [Problem(str(path), mark.line, mark.column, "wrong-value", "cases is empty; write a case")]
    return file, []
