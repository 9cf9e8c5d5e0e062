"""Fields: unknown, missing, of the wrong type or out of range; each at its place, with node, finding and remedy."""

from __future__ import annotations

import pytest
from graph_cases import SOUND, found, problems, spoilt

from flowrt.graph.codes import CODES
from flowrt.graph.facts import Unreadable
from flowrt.graph.schema import json_schema
from flowrt.operators.registry import OPERATIONS


def test_the_sound_graph_has_no_problem() -> None:
    assert problems(SOUND) == []


CASES = [
    ("memory: 16Mi", "memry: 16Mi", (14, 28, "unknown-field"), "did you mean 'memory'?"),
    ("topics:", "topic:", (10, 5, "unknown-field"), "did you mean 'topics'?"),
    ("  - name: plant", "  - nam: plant\n    name: plant", (4, 5, "unknown-field"), "did you mean 'name'?"),
    ("mqtt: {host", "mqttt: {host", (5, 5, "unknown-field"), "did you mean 'mqtt'?"),
    ("host: 127.0.0.1", "host: a, client_id: b", (5, 21, "unknown-field"), "did you mean 'clientId'?"),
    ("connections:", "conections: []\nconnections:", (22, 1, "unknown-field"), "did you mean 'connections'?"),
    ("operationType: map\n", "operationType: map\n    map: x\n", (12, 5, "unknown-field"), "there is no field 'map'"),
    ("    module: pump-features:1.0.0\n", "", (11, 5, "missing-field"), "operation 'features': 'module' is missing"),
    ("{path: pump.onnx}", "{target: cpu}", (17, 12, "missing-field"), "'model.path' is missing"),
    ("operationType: map\n    name", "name", (11, 5, "missing-field"), "'operationType' is missing"),
    ("operationType: map", "operationType: mapp", (11, 20, "unknown-operation-type"), "did you mean 'map'?"),
    (
        '"1.2.0"',
        "1.10",
        (1, 33, "wrong-type"),
        'metadata.version is the number 1.10, and it takes text; quote it: "1.10"',
    ),
    ('default: "60"', "default: 60", (28, 50, "wrong-type"), 'quote it: "60"'),
    ('["plant/+/pump"]', "plant/+/pump", (10, 13, "wrong-type"), "it takes a list"),
    ("{path: pump.onnx}", "[a]", (17, 12, "wrong-type"), "model is a list, and it takes text or a mapping"),
    ("{path: pump.onnx}", "5", (17, 12, "wrong-type"), 'quote it: "5"'),
    ("host: 127.0.0.1", "host: a, port: x", (5, 27, "wrong-type"), "mqtt.port is 'x', and it takes a whole number"),
    ("host: 127.0.0.1", "host: a, version: 5", (5, 30, "wrong-value"), 'with quotes: "5"'),
    ("host: 127.0.0.1", "host: a, tls: {key: k}", (5, 26, "wrong-value"), "key without cert"),
    ("cpu: 250m", "cpu: 0", (14, 22, "wrong-value"), "0.5 or 250m"),
    ("memory: 16Mi", "memory: 16MB", (14, 36, "wrong-value"), "as in 16Mi"),
    ("deadline: 20ms", "deadline: 20", (14, 52, "wrong-value"), "as in 20ms"),
    ("cpu: 250m", "cpu: 100000m", (14, 22, "out-of-range"), "at most 64 cores"),
    ("memory: 16Mi", "memory: 1Ki", (14, 36, "out-of-range"), "at least 64Ki"),
    ("deadline: 20ms", "deadline: 2h", (14, 52, "out-of-range"), "at most 3600s"),
    ("topic: alerts", "topic: alerts\n    qos: 3", (22, 10, "wrong-value"), "0, 1 or 2"),
    ("from: {name: features}", "from: {name: features, arm: True}", (24, 34, "arm-not-text"), 'arm: "True"'),
    ("from: {name: features}", "from: {name: features, arm: Yes please}", (24, 34, "wrong-value"), '"True" or "False"'),
]


@pytest.mark.parametrize(("old", "new", "place", "words"), CASES)
def test_a_mistake_in_a_field(old: str, new: str, place: tuple[int, int, str], words: str) -> None:
    by_place = {(problem.line, problem.column, problem.code): problem for problem in problems(spoilt(old, new))}
    assert place in by_place
    assert words in by_place[place].message


@pytest.mark.parametrize(("old", "new", "place", "words"), CASES)
def test_a_mistake_in_a_field_brings_no_others_with_it(old: str, new: str, place: tuple, words: str) -> None:
    also = {"missing-field", "unknown-field"} if place[2] in {"missing-field", "unknown-field"} else {place[2]}
    assert {code for _, _, code in found(spoilt(old, new))} <= also


def test_a_module_that_is_not_named_is_not_looked_for() -> None:
    missing = {"?": Unreadable("looked in modules", missing=True)}

    assert found(spoilt("    module: pump-features:1.0.0\n", ""), modules=missing) == [(11, 5, "missing-field")]


def test_every_mistake_of_a_file_is_reported_at_once_and_in_order() -> None:
    assert found(
        """\
        metadata: {name: many, version: 1.0}
        endpoints:
          - {name: plant, mqtt: {host: here}}
        operations:
          - {operationType: source, name: in, endpoint: plnt, topics: ["a/#/b"]}
          - {operationType: map, name: work, module: m, resources: {memory: lots}, sha: 0}
          - {operationType: mapp, name: more}
          - {operationType: sink, name: out, endpoint: plant, topic: on}
        connections:
          - {from: {name: in}, to: {name: wrok}}
          - {from: {name: work, arm: true}, to: {name: out}}
          - {from: {name: out}, to: {name: out}}
        """
    ) == [
        (1, 33, "wrong-type"),
        (5, 49, "unknown-endpoint"),
        (5, 64, "bad-topic"),
        (6, 69, "wrong-value"),
        (6, 76, "unknown-field"),
        (7, 21, "unknown-operation-type"),
        (8, 62, "yaml-ambiguous"),
        (10, 35, "unknown-operation"),
        (11, 30, "arm-not-text"),
        (12, 36, "self-loop"),
    ]


def test_null_means_not_set_where_a_field_may_be_left_out() -> None:
    """AIO writes an empty `module:` for concatenate, and its schema allows null for most fields."""
    text = spoilt('metadata: {name: pump, version: "1.2.0"}', "metadata: {name: pump, description: , vendor: ~}")
    assert found(spoilt("    topics:", "    module:\n    resources:\n    topics:", text)) == []


def test_an_entry_of_a_list_may_not_be_empty() -> None:
    assert (7, 4, "wrong-type") in found(spoilt("operations:\n", "operations:\n  -\n"))


def test_the_node_is_named() -> None:
    (problem,) = problems(spoilt("memory: 16Mi", "memory: 1Ki"))
    assert (problem.node, problem.path) == ("features", "g.yaml")


def test_values_of_variables_are_not_shown() -> None:
    for text in ("port: ${SECRET}", "keepAlive: ${SECRET}", "version: ${SECRET}"):
        spoilt_text = SOUND.replace("mqtt: {host: 127.0.0.1}", f"mqtt:\n      host: a\n      {text}")
        (problem,) = problems(spoilt_text, environ={"SECRET": "hunter2"})
        assert "hunter2" not in problem.message
        assert "${SECRET}" in problem.message


def test_the_model_takes_every_registered_operation_type() -> None:
    union = json_schema()["properties"]["operations"]["items"]
    assert set(union["discriminator"]["mapping"]) == set(OPERATIONS)


def test_every_field_of_the_schema_is_described() -> None:
    schema = json_schema()
    tags = {"operationType"}
    bare = [
        f"{name}.{field}"
        for name, part in schema["$defs"].items()
        for field, value in part.get("properties", {}).items()
        if "description" not in value and "$ref" not in value and field not in tags
    ]
    assert bare == []


def test_the_schema_takes_a_variable_where_a_number_or_a_pattern_belongs() -> None:
    parts = json_schema()["$defs"]
    places = [("MqttOptions", "port"), ("ModelOptions", "sha256"), ("ModelOptions", "target"), ("SinkOperation", "qos")]
    for name, field in places:
        assert "#/$defs/Variable" in str(parts[name]["properties"][field]), (name, field)
    assert "Variable" not in str(parts["SinkOperation"]["properties"]["operationType"])


def test_codes_are_closed_and_each_says_what_to_do() -> None:
    assert all(sentence.endswith(".") and sentence.count(". ") >= 1 for sentence in CODES.values())
