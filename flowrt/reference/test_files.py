"""`docs/test-files.md`: what a test file may hold, from the models that parse it."""

from __future__ import annotations

from flowrt.graphtest.model import AioTest, Case, Content, Expected, Given, Letter, Stub, TestFile
from flowrt.options import Options
from flowrt.reference.configuration import section
from flowrt.reference.markdown import flowing

_INTRODUCTION = """\
# Test files

Every field of a `*.test.yaml`, from the models that parse it. [testing.md](testing.md) explains them with examples.
Durations are written as `20ms` or `1h`.
"""
_TITLES: dict[type[Options], str] = {
    TestFile: "The file",
    Case: "A case",
    Given: "A message that enters: `in`",
    Expected: "A message that has to come out: `out`",
    Letter: "A dead letter: `deadLetters`",
    Stub: "A stub: `stubs`",
    Content: "A message that a stub emits",
    AioTest: "The form of Azure IoT Operations' samples",
}


def test_files() -> str:
    sections = (section(title, flowing(model.__doc__), model) for model, title in _TITLES.items())
    return "\n".join([_INTRODUCTION, *sections])
