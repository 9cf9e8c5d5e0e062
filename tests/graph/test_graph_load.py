"""From a file on disk to a plan: finding modules and models, binding ends, AIO's published definitions."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from graph_cases import SOUND, model, module

from flowrt.endpoints.file_config import FileOptions
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.graph.checks.portable import check_file
from flowrt.graph.facts import Unreadable
from flowrt.graph.load import load
from flowrt.graph.plan import Plan
from flowrt.graph.resolve import find_module, module_folders
from flowrt.problem import Problem

SHARED = Path(os.environ.get("FLOWRT_SHARED", Path(__file__).parents[3] / "shared"))
CONFORMANCE = SHARED / "aio-conformance"
ABSTRACT = """\
metadata: {name: abstract, version: "1"}
operations:
  - {operationType: source, name: source}
  - {operationType: sink, name: sink}
connections:
  - {from: {name: source}, to: {name: sink}}
"""


def loaded(path: Path, **options: object) -> tuple[Plan | None, list[Problem]]:
    """Load with modules and models that are sound once their file is there."""
    defaults: dict[str, object] = {"sets": {}, "environ": {}, "bindings": {}, "modules_dirs": [], "machine": None}
    inspect = {
        "inspect_module": lambda path: module(path=str(path)),
        "inspect_model": lambda path, _: model(path=str(path)),
    }
    return load(path, **{**defaults, **inspect, **options})  # type: ignore[arg-type]


def write(folder: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def test_a_sound_graph_has_a_plan(tmp_path: Path) -> None:
    write(tmp_path, {"graphs/g.yaml": SOUND, "graphs/pump.onnx": "", "modules/pump-features.wasm": ""})
    plan, problems = loaded(tmp_path / "graphs/g.yaml")
    assert problems == []
    assert plan is not None
    assert plan.nodes["features"].module is not None
    assert plan.nodes["features"].module.path == str(tmp_path / "modules/pump-features.wasm")
    assert plan.nodes["detector"].models[0].facts.path == str(tmp_path / "graphs/pump.onnx")


def test_what_is_missing_is_named_with_where_it_was_looked_for(tmp_path: Path) -> None:
    write(tmp_path, {"g.yaml": SOUND})
    plan, problems = loaded(tmp_path / "g.yaml", modules_dirs=[tmp_path / "a"], environ={"FLOWRT_MODULES": "/b:/c"})
    assert plan is None
    assert [(problem.line, problem.code) for problem in problems] == [(13, "missing-module"), (17, "missing-model")]
    assert f"{tmp_path / 'a'}, /b, /c for pump-features-1.0.0.wasm, pump-features.wasm" in problems[0].message


@pytest.mark.parametrize(
    ("name", "files", "expected"),
    [
        ("a", ["a.wasm", "a/a.wasm"], "a.wasm"),
        ("a", ["a/a.wasm"], "a/a.wasm"),
        ("a:1.0", ["a.wasm", "a-1.0.wasm"], "a-1.0.wasm"),
        ("a:2.0", ["a.wasm", "a-1.0.wasm"], "a.wasm"),
        ("x/y/a:1", ["a.wasm", "x/y/a.wasm"], "x/y/a.wasm"),
        ("x/y/a:1", ["a.wasm"], "a.wasm"),
    ],
)
def test_a_modules_name_becomes_a_file(tmp_path: Path, name: str, files: list[str], expected: str) -> None:
    write(tmp_path, dict.fromkeys(files, ""))
    assert find_module(name, Path("/nowhere"), [tmp_path]) == tmp_path / expected


@pytest.mark.parametrize(
    "name", ["../a", "x/../../a", "/etc/a", "..", "a\0b", ":1", "x/", "a" * 5000, "../a.wasm", "."]
)
def test_a_modules_name_never_leaves_its_folder(tmp_path: Path, name: str) -> None:
    write(tmp_path, {"a.wasm": "", "sub/x": ""})
    assert isinstance(find_module(name, tmp_path / "sub", [tmp_path / "sub"]), Unreadable)


def test_a_module_one_folder_further_down_is_pointed_at(tmp_path):
    (tmp_path / "aio" / "temperature").mkdir(parents=True)
    (tmp_path / "aio" / "temperature" / "temperature.wasm").write_bytes(b"")
    found = find_module("azure-samples/x/temperature:1.0.0", Path("/nowhere"), [tmp_path])
    assert isinstance(found, Unreadable)
    assert found.reason.endswith(f"; it is in {tmp_path}/aio: add --modules {tmp_path}/aio")


def test_the_nearest_modules_folder_is_looked_in_last(tmp_path: Path) -> None:
    write(tmp_path, {"modules/x": "", "a/modules/x": "", "a/b/g.yaml": ""})
    environ = {"FLOWRT_MODULES": f"/one{os.pathsep}/two"}
    folders = module_folders(tmp_path / "a/b/g.yaml", [Path("/given")], environ)
    assert folders == [Path("/given"), Path("/one"), Path("/two"), tmp_path / "a/modules"]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    for path in (tmp_path / "g.yaml", tmp_path):
        plan, (problem,) = loaded(path)
        assert (plan, problem.code) == (None, "unreadable-file")


def test_an_abstract_graph_is_sound_but_does_not_run(tmp_path: Path) -> None:
    write(tmp_path, {"g.yaml": ABSTRACT})
    assert loaded(tmp_path / "g.yaml")[1] == []
    plan, problems = loaded(tmp_path / "g.yaml", abstract_ends=False)
    assert plan is None
    assert [(problem.line, problem.code) for problem in problems] == [(3, "unbound"), (4, "unbound")]


def test_ends_are_bound_by_flags(tmp_path: Path) -> None:
    write(tmp_path, {"g.yaml": ABSTRACT})
    bindings = {"source": "mqtts://broker:8884/plant/+/#?qos=0&clientId=x", "sink": f"file:{tmp_path}/out.jsonl"}
    plan, problems = loaded(tmp_path / "g.yaml", bindings=bindings, abstract_ends=False)
    assert problems == []
    assert plan is not None
    source, sink = plan.nodes["source"].operation, plan.nodes["sink"].operation
    assert (source.topics, source.qos) == (("plant/+/#",), 0)  # type: ignore[attr-defined]
    broker, file = (plan.endpoints[operation.endpoint] for operation in (source, sink))  # type: ignore[attr-defined]
    assert isinstance(broker, MqttOptions)
    assert (broker.host, broker.port, broker.client_id, broker.tls is not None) == ("broker", 8884, "x", True)
    assert file == FileOptions(path=tmp_path / "out.jsonl")


def test_ends_at_one_broker_share_an_endpoint(tmp_path: Path) -> None:
    write(tmp_path, {"g.yaml": ABSTRACT})
    bindings = {"source": "mqtt://[::1]/in/%23", "sink": "mqtt://[::1]/out"}
    plan, problems = loaded(tmp_path / "g.yaml", bindings=bindings)
    assert problems == []
    assert plan is not None
    assert [endpoint.host for endpoint in plan.endpoints.values()] == ["::1"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("bindings", "words"),
    [
        ({"sorce": "file:x"}, "did you mean 'source'?"),
        ({"source": "http://x/y"}, "write mqtt://HOST/TOPIC"),
        ({"source": "file:"}, "write file:PATH"),
        ({"source": "mqtt://h"}, "names no topic filter"),
        ({"source": "mqtt://h/a?qos=5"}, "write 0, 1 or 2"),
        ({"source": "mqtt://h:port/a"}, "port: input should be a valid integer"),
        ({"source": "mqtt://h/a?keepAlve=1s"}, "did you mean 'keepAlive'?"),
        ({"source": "mqtt:///a"}, "host: string should have at least 1 character"),
        ({"source": "mqtt://me:secret@h/a"}, "credentials do not belong on a command line"),
    ],
)
def test_a_binding_that_cannot_be_used(tmp_path: Path, bindings: dict[str, str], words: str) -> None:
    write(tmp_path, {"g.yaml": ABSTRACT})
    plan, (problem,) = loaded(tmp_path / "g.yaml", bindings=bindings)
    assert (plan, problem.code) == (None, "bad-binding")
    assert words in problem.message
    assert "secret" not in problem.message


def test_a_set_that_names_nothing_is_a_warning(tmp_path: Path) -> None:
    write(tmp_path, {"g.yaml": ABSTRACT})
    plan, (problem,) = loaded(tmp_path / "g.yaml", sets={"THRESHOLD": "3"})
    assert plan is not None
    assert problem.code == "unused-set"


def _definitions() -> list[Path]:
    return sorted([*CONFORMANCE.glob("*.yaml"), *CONFORMANCE.glob("*/graph*.yaml")])


@pytest.mark.skipif(not CONFORMANCE.is_dir(), reason="AIO's published definitions are not here")
def test_aios_definitions_load_but_for_modules_that_are_not_there() -> None:
    assert len(_definitions()) >= 6
    for path in _definitions():
        _, problems = loaded(path)
        assert {problem.code for problem in problems} <= {"missing-module", "unset-variable"}


@pytest.mark.skipif(not CONFORMANCE.is_dir(), reason="AIO's published definitions are not here")
def test_aios_definitions_are_portable() -> None:
    for path in _definitions():
        assert check_file(path) == []


def test_what_is_ours_is_not_portable(tmp_path: Path) -> None:
    write(tmp_path, {"g.yaml": SOUND})
    messages = " ".join(problem.message for problem in check_file(tmp_path / "g.yaml"))
    for words in (
        "'$schema' of metadata is missing",
        "a field 'endpoints'",
        "operationType is 'inference'",
        "'topics' of operations",
    ):
        assert words in messages
