"""Habits that a reader may rely on."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest
from source import ROOT, imports, modules, strings, tracked

from flowrt import events
from flowrt.graph.codes import CODES

FILE_LINES = 500
FUNCTION_LINES = 70
MAY_PRINT = ("flowrt.cli.", "flowrt.demo.")

# Put together here, so that this file does not contain them.
UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]) + r")\b")
OF_ONE_MACHINE = re.compile("|".join(["/wo" + "rk/", "/ro" + "ot/", "index" + "-url", "arti" + "factory"]))


def python_files():
    return [name for name in tracked() if name.endswith(".py")]


def test_files_and_functions_are_short():
    for name in python_files():
        text = tracked()[name]
        assert text.count("\n") <= FILE_LINES, name
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno - node.lineno < FUNCTION_LINES, f"{name}:{node.lineno}: {node.name}"


def test_only_programs_print():
    for name, tree in modules().items():
        if not name.startswith(MAY_PRINT):
            calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
            assert "print" not in calls, name


def test_every_package_says_what_it_is_for():
    for name, tree in modules().items():
        assert ast.get_docstring(tree), f"{name} has no docstring"


def test_no_module_is_dead():
    seen, next_ones = set(), ["flowrt.cli.main", "flowrt.testing"]
    while next_ones:
        name = next_ones.pop()
        while name and name not in seen:
            if name in modules():
                seen.add(name)
                next_ones += [*imports(modules()[name]), *named(modules()[name])]
            name = name.rpartition(".")[0]
    assert set(modules()) - seen == set()


def named(tree):
    """Modules that a module names in texts: whole, or as `flowrt.cli.{name}` with the names beside it."""
    texts = strings(tree)
    return [
        name for name in modules() if name in texts or {name.rpartition(".")[0] + ".", name.split(".")[-1]} <= texts
    ]


@pytest.mark.parametrize("pattern", [UNFINISHED, OF_ONE_MACHINE], ids=["unfinished", "of one machine"])
def test_nothing_is_left_over(pattern):
    found = [
        f"{name}:{number}: {line.strip()[:80]}"
        for name, text in tracked().items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert found == []


@cache
def used_outside(*homes):
    """Every text constant and name that stands in the package outside these modules."""
    found = set()
    for name, tree in modules().items():
        if name not in homes:
            found |= strings(tree) | {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return found


def test_every_fault_and_every_drop_can_happen():
    assert {*events.FAULTS, *events.DROPS} - used_outside("flowrt.events") == set()


def test_every_problem_can_be_found():
    assert set(CODES) - used_outside("flowrt.graph.codes") == set()


def test_every_event_can_happen():
    kinds = {
        name for name, kind in vars(events).items() if isinstance(kind, type) and kind.__module__ == "flowrt.events"
    }
    assert kinds - {"Event"} - used_outside("flowrt.events", "flowrt.logs.sentences", "flowrt.logs.repetition") == set()


def test_every_test_file_has_a_name_of_its_own():
    names = [Path(name).name for name in python_files() if name.startswith("tests/") and "conftest" not in name]
    assert sorted(names) == sorted(set(names))


def test_the_package_is_marked_as_typed():
    assert (ROOT / "flowrt/py.typed").exists()
