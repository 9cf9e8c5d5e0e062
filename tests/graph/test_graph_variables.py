"""Variables, parameters and the short form: what a graph is given from outside and what it leaves out."""

from __future__ import annotations

import pytest
from graph_cases import SOUND, found, planned, problems, spoilt

from flowrt.graph.reading import read

SHORT = """\
moduleRequirements: {apiVersion: "1.1.0", features: [{name: wasi-nn}]}
modules:
  - name: preprocess
    type: wasm
    path: preprocess.wasm
    config: {width: 224, mean: [0.5, 0.5], gray: false}
  - name: classify
    path: classify:2
    config:
      model: models/net.onnx
      labels: labels.txt
metadata: {name: short}
"""


@pytest.mark.parametrize(
    ("text", "sets", "environ", "value"),
    [
        ("port: ${PORT}", {}, {"PORT": "1884"}, 1884),
        ("port: ${PORT}", {"PORT": "1885"}, {"PORT": "1884"}, 1885),
        ("port: ${PORT:-1883}", {}, {}, 1883),
        ("port: ${PORT:-1883}", {}, {"PORT": ""}, 1883),
        ('host: "${HOST}.local"', {}, {"HOST": "broker"}, "broker.local"),
        ('clientId: "$${NOT}"', {}, {}, "${NOT}"),
    ],
)
def test_variables_are_filled(text: str, sets: dict, environ: dict, value: object) -> None:
    key = text.partition(":")[0]
    host = "" if key == "host" else "      host: a\n"
    text = spoilt("    mqtt: {host: 127.0.0.1}\n", f"    mqtt:\n{host}      {text}\n")
    graph = read(text.encode(), "g.yaml", sets, environ).graph
    assert graph is not None
    (endpoint,) = graph.file.endpoints
    assert endpoint.options.model_dump(by_alias=True)[key] == value


def test_a_variable_without_value_is_reported_once_where_it_stands() -> None:
    text = spoilt("deadline: 20ms", 'deadline: "${LIMIT}"')
    assert found(text) == [(14, 52, "unset-variable")]
    assert found(text, environ={"LIMIT": "30ms"}) == []
    assert found(text, sets={"LIMIT": "3 days"}) == [(14, 52, "wrong-value")]


def test_what_is_no_variable_is_reported() -> None:
    assert found(spoilt('"1.2.0"', '"${1 2}"')) == [(1, 33, "unset-variable")]


def test_a_variable_is_never_structure() -> None:
    (problem,) = problems(spoilt("127.0.0.1", '"${HOST}", port: "${PORT}"'), environ={"HOST": "a", "PORT": "{a: 1}"})
    assert problem.code == "wrong-type"


@pytest.mark.parametrize(
    ("sets", "given"),
    [
        ({}, (("window", "60"),)),
        ({"window": "5"}, (("window", "5"),)),
        ({"features.window": "7", "window": "5"}, (("window", "7"),)),
    ],
)
def test_parameters_get_their_values(sets: dict[str, str], given: tuple) -> None:
    assert planned(SOUND, sets=sets).nodes["features"].properties == given


def test_a_parameter_is_set_by_key_or_name_and_given_by_name() -> None:
    """In AIO's own sample the key is `key1` and the name `key2`."""
    text = spoilt('{window: {name: window, default: "60"}}', "{key1: {name: key2}, unset: {name: unset}}")
    for key in ("key1", "key2", "features.key1", "features.key2"):
        assert planned(text, sets={key: "v"}).nodes["features"].properties == (("key2", "v"),)


def test_the_short_form_is_a_chain() -> None:
    plan = planned(SHORT)
    assert [(node.name, node.targets) for node in plan.nodes.values()] == [
        ("source", (("preprocess",),)),
        ("preprocess", (("classify",),)),
        ("classify", (("sink",),)),
        ("sink", ()),
    ]
    assert plan.nodes["preprocess"].properties == (("width", "224"), ("mean", "[0.5, 0.5]"), ("gray", "false"))
    assert plan.nodes["classify"].properties == (("model", "models/net.onnx"), ("labels", "labels.txt"))


def test_the_short_forms_models_are_known_under_their_paths() -> None:
    graph = read(SHORT.encode(), "g.yaml", {}, {}).graph
    assert graph is not None
    assert [(model.name, model.path) for model in graph.file.models] == [("models/net.onnx", "models/net.onnx")]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("type: wasm", "type: wasn", [(4, 11, "wrong-value")]),
        ("type: wasm", "typ: wasm", [(4, 5, "unknown-field")]),
        ("    path: classify:2\n", "", [(7, 5, "missing-field")]),
        ("name: classify", "name: preprocess", [(7, 11, "duplicate-name")]),
        ("name: classify", "name: sink", [(7, 11, "duplicate-name")]),
        ("metadata:", "operations: []\nmetadata:", [(12, 1, "two-forms")]),
    ],
)
def test_mistakes_in_the_short_form_stand_where_they_were_written(old: str, new: str, expected: list) -> None:
    assert found(spoilt(old, new, SHORT)) == expected
