"""Engines and fallbacks as graphs declare them: what `flowrt check` says, and what runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from nn_models import autoencoder

from flowrt.cli.main import main
from flowrt.graph.facts import Unreadable
from flowrt.graph.load import load
from flowrt.nn import encodings
from flowrt.nn.inspect import inspect_model

GRAPH = """metadata: {{name: g, version: 1.0.0}}
endpoints:
  - {{name: disk, file: {{path: rows.jsonl}}}}
  - {{name: out, file: {{path: "-"}}}}
operations:
  - {{operationType: source, name: rows, endpoint: disk}}
  - operationType: inference
    name: detector
    model:
      path: m.onnx
      {more}
  - {{operationType: sink, name: scores, endpoint: out}}
connections:
  - {{from: {{name: rows}}, to: {{name: detector}}}}
  - {{from: {{name: detector}}, to: {{name: scores}}}}
"""


def write(folder: Path, more: str) -> str:
    (folder / "m.onnx").write_bytes(autoencoder())
    (folder / "rows.jsonl").write_text(json.dumps({"payload": "x"}) + "\n")
    path = folder / "graph.yaml"
    path.write_text(GRAPH.format(more=more))
    return str(path)


@pytest.fixture
def without_openvino(monkeypatch: pytest.MonkeyPatch) -> None:
    find = encodings.find_spec
    monkeypatch.setattr(encodings, "find_spec", lambda name: None if name == "openvino" else find(name))


@pytest.mark.usefixtures("without_openvino")
def test_a_missing_engine_is_told_with_its_position_and_the_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", write(tmp_path, "encoding: openvino")]) == 1
    said = capsys.readouterr().err
    assert "graph.yaml:10:" in said
    assert "missing-engine: operation 'detector': model 'm.onnx' cannot run here" in said
    assert "pip install 'flowrt[openvino]'" in said


@pytest.mark.usefixtures("without_openvino")
def test_with_a_fallback_it_is_a_warning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("urllib3")
    more = 'encoding: openvino\n      fallback: {path: "http://127.0.0.1:1/m"}'
    assert main(["check", write(tmp_path, more)]) == 0
    assert "its fallback takes its place" in capsys.readouterr().err


def test_two_mistakes_of_a_model_are_both_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = 'inputs: ["x f32"]\n      target: cuda'
    assert main(["check", write(tmp_path, more)]) == 1
    said = capsys.readouterr().err
    assert "graph.yaml:11:" in said
    assert "graph.yaml:12:" in said


def test_one_file_runs_on_two_engines_as_two_models_say(tmp_path: Path) -> None:
    """Whichever comes first: how one is read says nothing of the other."""
    (tmp_path / "m.onnx").write_bytes(autoencoder())
    for order in (("onnx", "openvino"), ("openvino", "onnx")):
        entries = {"onnx": "", "openvino": ", encoding: openvino"}
        models = "".join(f"  - {{name: {name}, path: m.onnx{entries[name]}}}\n" for name in order)
        uses = "".join(f"  - {{operationType: inference, name: by-{name}, model: {name}}}\n" for name in order)
        lines = "".join(f"  - {{from: {{name: rows}}, to: {{name: by-{name}}}}}\n" for name in order)
        ends = "".join(f"  - {{from: {{name: by-{name}}}, to: {{name: scores}}}}\n" for name in order)
        path = tmp_path / "graph.yaml"
        path.write_text(
            "metadata: {name: g, version: 1.0.0}\nendpoints:\n  - {name: disk, file: {path: rows.jsonl}}\n"
            f'  - {{name: out, file: {{path: "-"}}}}\nmodels:\n{models}operations:\n'
            "  - {operationType: source, name: rows, endpoint: disk}\n"
            f"{uses}  - {{operationType: sink, name: scores, endpoint: out}}\nconnections:\n{lines}{ends}"
        )
        plan, problems = load(
            path, sets={}, environ={}, bindings={}, modules_dirs=[], inspect_module=lambda path: Unreadable(str(path)),
            inspect_model=inspect_model, machine=None,
        )  # fmt: skip
        assert plan is not None, problems
        found = {name: plan.nodes[f"by-{name}"].models[0].facts.encoding for name in order}
        assert found == {"onnx": "onnx", "openvino": "openvino"}
