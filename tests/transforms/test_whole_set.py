"""The graph tests of `graphs/transforms` leave nothing of the language and of AIO's transforms out."""

import json
import re
from pathlib import Path

import pytest
import yaml

from flowrt.graph.artifacts import ARTIFACTS
from flowrt.transforms.functions import AGGREGATES, FUNCTIONS, RUNNING, SPECIAL
from flowrt.transforms.grammar import parse
from flowrt.transforms.tree import PRECEDENCE, Binary, Call, Unary, walk

FOLDER = Path(__file__).parents[2] / "graphs/transforms"
SUITES = {path.name.removesuffix(".test.yaml"): yaml.safe_load(path.read_text()) for path in FOLDER.glob("*.test.yaml")}
CASES = {name: len(suite["cases"]) for name, suite in SUITES.items()}


def configurations(kind):
    """AIO's configurations of a transform in all its cases and in its graph, read."""
    graph = yaml.safe_load((FOLDER / SUITES[kind]["graph"]).read_text())
    texts = [text for case in SUITES[kind]["cases"] for text in case.get("set", {}).values()]
    for module in graph.get("moduleConfigurations", []):
        texts += [given["default"] for given in module["parameters"].values() if "default" in given]
    return [json.loads(text) for text in texts]


def expressions(kind, key="expression"):
    """Trees of all expressions in them."""

    def found(value):
        if isinstance(value, list):
            value = dict(enumerate(value))
        for name, inner in value.items() if isinstance(value, dict) else ():
            if name == key and isinstance(inner, str):
                yield parse(inner)
            else:
                yield from found(inner)

    return [node for value in configurations(kind) for tree in found(value) for node in walk(tree)]


def calls(nodes):
    return {node.name for node in nodes if isinstance(node, Call)}


def test_every_function_and_operator_stands_in_a_case():
    nodes = expressions("aio-functions")
    assert calls(nodes) >= {*FUNCTIONS, *SPECIAL}
    operators = {operator for level in PRECEDENCE for operator in level}
    assert {node.operator for node in nodes if isinstance(node, Binary)} == operators
    assert {node.operator for node in nodes if isinstance(node, Unary)} == {"-", "!"}


def test_every_function_of_windows_and_triggers_stands_in_a_case():
    assert calls(expressions("aio-window")) >= set(AGGREGATES)
    assert calls(expressions("aio-window", "trigger")) == set(RUNNING)


@pytest.mark.parametrize("kind", [kind for kind in ARTIFACTS if kind != "concatenate"])
def test_every_artifact_has_cases_and_a_concatenation_stands_in_one(kind):
    graph = (FOLDER / SUITES[f"aio-{kind}"]["graph"]).read_text()
    assert f"graph-dataflow-{kind}:" in graph
    assert "graph-dataflow-concatenate:" in (FOLDER / "aio-branch.yaml").read_text()


def test_all_cases_are_here():
    """A case that gets lost is missed: the numbers are those that there were, or more."""
    least = {"aio-map": 62, "aio-functions": 8, "aio-window": 12, "aio-filter": 6, "aio-branch": 4, "aio-throttle": 3}
    assert {name: CASES[name] >= count for name, count in least.items()} == dict.fromkeys(least, True)


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("aio-window", ["21.433333333333334", "readingCount", "3.2"]),
        ("aio-window", ["maxBufferBytes", "messageInCurrent", "running_sum($1) + $1 > 100"]),
        ("aio-map", ["Averaged.*", "($1 + $2) / 2", "Pressure.Max"]),
        ("aio-map", ["? $last ?? 0", "$metadata.topic", "$context(device).name", '\\"Tag.10\\"']),
        ("aio-filter", ["$1 > 100", "$1 > 95", "$context("]),
        ("aio-throttle", ["maxMessagesPerSecond"]),
        ("aio-branch", ["$1 > 5"]),
    ],
)
def test_the_documented_examples_are_here(kind, words):
    """Each by words that no other example has together."""
    text = re.sub(r"\s+", " ", (FOLDER / f"{kind}.test.yaml").read_text())
    text += re.sub(r"\s+", " ", (FOLDER / SUITES[kind]["graph"]).read_text())
    assert [word for word in words if word not in text] == []
