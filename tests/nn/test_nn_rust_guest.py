"""A map in Rust that drives the node's models through wasi-nn, built with the SDK, beside an `inference` operation."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from nn_models import autoencoder

from flowrt.cli.main import main
from flowrt.errors import StartError
from flowrt.guests.build import build

GUESTS = Path(__file__).parent / "guests"
GRAPH = """metadata: {name: g, version: 1.0.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0", features: [{name: wasi-nn}]}
endpoints:
  - {name: rows, file: {path: rows.jsonl}}
  - {name: out, file: {path: "-"}}
models:
  - {name: m, path: m.onnx}
operations:
  - {operationType: source, name: rows, endpoint: rows}
  - {operationType: map, name: guest, module: scorer, onError: {policy: deadLetter}}
  - {operationType: inference, name: operation, model: m, onError: {policy: deadLetter}}
  - {operationType: sink, name: from-guest, endpoint: out}
  - {operationType: sink, name: from-operation, endpoint: out}
connections:
  - {from: {name: rows}, to: {name: guest}}
  - {from: {name: rows}, to: {name: operation}}
  - {from: {name: guest}, to: {name: from-guest}}
  - {from: {name: operation}, to: {name: from-operation}}
moduleConfigurations:
  - name: guest
    parameters:
      model: {name: model, description: Which model, default: NAME}
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("modules")
    try:
        assert [(each.name, each.error) for each in build(GUESTS, out)] == [("scorer", None)]
    except StartError as missing:
        pytest.skip(str(missing))
    return out


def encoded(data: bytes) -> dict[str, str]:
    return {"topic": "t", "base64": base64.b64encode(data).decode()}


def test_a_rust_guest_and_the_operation_make_what_the_engine_makes(
    modules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a row that does not fit is a dead letter of both, behind which the rows go on."""
    (tmp_path / "m.onnx").write_bytes(autoencoder())
    (tmp_path / "graph.yaml").write_text(GRAPH.replace("NAME", "m"))
    rows = np.random.default_rng(7).normal(size=(5, 16)).astype("<f4")
    engine = onnxruntime.InferenceSession(autoencoder(), providers=["CPUExecutionProvider"])
    expected = [encoded(engine.run(None, {"x": row[None]})[0].tobytes()) for row in rows]
    given = [encoded(row.tobytes()) for row in rows]
    case = {
        "name": "rows",
        "in": [*given[:2], encoded(b"1234" * 15), *given[2:]],
        "out": {"from-guest": expected, "from-operation": expected},
        "deadLetters": [{"node": "guest", "reason": "does not take this row"}, {"node": "operation"}],
    }
    (tmp_path / "g.test.yaml").write_text(json.dumps({"graph": "graph.yaml", "cases": [case]}))
    status = main(["test", str(tmp_path / "g.test.yaml"), "--modules", str(modules)])
    said = capsys.readouterr()
    assert status == 0, said.out + said.err


def test_a_model_that_is_not_there_keeps_the_graph_from_starting(
    modules: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.onnx").write_bytes(autoencoder())
    (tmp_path / "rows.jsonl").write_text("")
    (tmp_path / "graph.yaml").write_text(GRAPH.replace("NAME", "n"))
    assert main(["run", str(tmp_path / "graph.yaml"), "--modules", str(modules)]) != 0
    said = capsys.readouterr().err
    assert "the node has no model named 'n'; it has m" in said
    assert "the model n was refused with errno 8" in said
