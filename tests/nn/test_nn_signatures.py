"""TensorFlow Lite files with several functions: which one runs is said in the graph, by the guest, or on the command
line; unsaid it is the file's first graph."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from nn_guest import OUT, Guest
from nn_models import SHARED, facts_of

pytest.importorskip("ai_edge_litert")
from tflite_models import signed

from flowrt.cli.main import main
from flowrt.errors import StartError
from flowrt.graph.plan import ModelUse
from flowrt.nn.doors.core import CoreDoor
from flowrt.nn.doors.holdings import Holdings
from flowrt.nn.faults import ModelFault
from flowrt.nn.inspect import inspect_model
from flowrt.nn.preload import parse, use_of
from flowrt.nn.registry import Models
from flowrt.operators.inference import ModelFile

FUNCTIONS = {"add": "ADD", "sub": "SUB", "mul": "MUL"}
A, B = np.array([[1, 2, 3]], "<f4"), np.array([[10, 20, 30]], "<f4")
ROW = B.tobytes() + A.tobytes()
"""One row, in the order that the graphs take their inputs in."""
EXPECTED = {"add": A + B, "sub": A - B, "mul": A * B}
GRAPH = """metadata: {{name: g, version: 1.0.0}}
endpoints:
  - {{name: disk, file: {{path: rows.jsonl}}}}
  - {{name: out, file: {{path: "-"}}}}
models:
  - {{name: adds, path: m.tflite}}
  - {{name: subtracts, path: m.tflite, options: {{signature: {signature}}}}}
operations:
  - {{operationType: source, name: rows, endpoint: disk}}
  - {{operationType: inference, name: first, model: adds}}
  - {{operationType: inference, name: second, model: subtracts}}
  - {{operationType: sink, name: scores, endpoint: out}}
connections:
  - {{from: {{name: rows}}, to: {{name: first}}}}
  - {{from: {{name: rows}}, to: {{name: second}}}}
  - {{from: {{name: first}}, to: {{name: scores}}}}
  - {{from: {{name: second}}, to: {{name: scores}}}}
"""


@pytest.fixture
def models() -> Iterator[Models]:
    models = Models()
    yield models
    models.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "m.tflite"
    path.write_bytes(signed(FUNCTIONS))
    return path


def use(path: Path, signature: object = None) -> ModelUse:
    options = {} if signature is None else {"signature": signature}
    return ModelUse("m", facts_of(path).signed(options), options=ModelFile(path=str(path), options=options))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_runs_by_its_name_in_batches(name: str, path: Path, models: Models) -> None:
    model = models.rows(use(path, name))
    assert ([tensor.name for tensor in model.inputs], [t.name for t in model.outputs]) == (["b", "a"], ["out"])
    assert model.run_rows([ROW] * 3) == [EXPECTED[name].tobytes()] * 3
    assert model.run_rows([ROW]) == [EXPECTED[name].tobytes()]
    model.close()


def test_two_functions_of_one_file_are_two_models(path: Path, models: Models) -> None:
    """And unsaid, the first graph runs, under the names of its signature."""
    default, subtracts, again = models.rows(use(path)), models.rows(use(path, "sub")), models.rows(use(path, "sub"))
    assert default.run_rows([ROW]) == [EXPECTED["add"].tobytes()]
    assert [tensor.name for tensor in default.inputs] == ["b", "a"]
    assert subtracts.run_rows([ROW]) == again.run_rows([ROW]) == [EXPECTED["sub"].tobytes()]
    assert (models.counters.loads, models.counters.shared) == (2, 1)
    for model in (default, subtracts, again):
        model.close()


@pytest.mark.parametrize(
    ("signature", "told"),
    [("sup", "has no signature 'sup'; did you mean 'sub'?"), (7, "has no signature '7'; it has add, sub, mul")],
)
def test_a_function_that_is_not_there_is_named_with_those_that_are(
    signature: object, told: str, path: Path, models: Models
) -> None:
    with pytest.raises(ModelFault) as fault:
        models.rows(use(path, signature))
    assert fault.value.code == "invalid-argument"
    assert told in fault.value.detail
    assert len(models) == 0


def test_a_guest_asks_for_a_function_with_its_options(path: Path, models: Models) -> None:
    said: list[str] = []
    door = CoreDoor(Holdings(models, [use(path)], 1 << 20, said.append))
    guest = Guest(door.functions())

    def load(options: object) -> int:
        text = json.dumps(options).encode()
        return guest.call("load_by_name_with_config", guest.put(b"m"), 1, guest.put(text), len(text), OUT)

    for name, expected in EXPECTED.items():
        assert load({"signature": name}) == 0
        assert guest.call("init_execution_context", guest.result(), OUT) == 0
        context = guest.result()
        assert guest.set_input(context, B, index=0) == guest.set_input(context, A, index=1) == 0
        for _ in range(3):
            assert guest.call("compute", context) == 0
            assert guest.output(context) == expected.tobytes()
    assert load({"signature": "divide"}) == load({"signature": ["add"]}) == 1
    assert "it has add, sub, mul" in said[0]
    door.close()
    assert len(models) == 0


def test_a_graph_is_checked_for_the_functions_it_names(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.jsonl").write_text("")
    graph = tmp_path / "graph.yaml"
    graph.write_text(GRAPH.format(signature="sub"))
    assert main(["check", str(graph)]) == 0
    capsys.readouterr()
    graph.write_text(GRAPH.format(signature="subb"))
    assert main(["check", str(graph)]) == 1
    said = capsys.readouterr().err
    assert (
        f"graph.yaml:7:{GRAPH.splitlines()[6].replace('{{', '{').index('{signature}') + 1}: unknown-signature" in said
    )
    assert "has no signature 'subb'; did you mean 'sub'?" in said


def test_a_command_is_given_one_on_its_command_line(path: Path) -> None:
    """For guests that only know `load_by_name`."""
    found, _ = use_of(parse(f"m=tflite:{path}"), inspect_model, {"signature": "mul"})
    assert found.options is not None
    assert found.options.options == {"signature": "mul"}
    with pytest.raises(StartError, match=r"--nn-option m: model '.*' has no signature 'div'; it has add, sub, mul"):
        use_of(parse(f"m=tflite:{path}"), inspect_model, {"signature": "div"})


def test_show_lists_them_and_bench_and_compare_take_one(
    path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "show", str(path)]) == 0
    said = capsys.readouterr().out
    for name in FUNCTIONS:
        assert f"  signature {name}: b: f32[?, 3], a: f32[?, 3] -> out: f32[?, 3]" in said
    assert "operators ADD x1, MUL x1, SUB x1" in said
    np.savez(tmp_path / "rows.npz", a=np.repeat(A, 4, 0), b=np.repeat(B, 4, 0))
    compare = ["model", "compare", str(path), str(path), "--recording", str(tmp_path / "rows.npz")]
    assert main([*compare, "--signature", "mul"]) == 0
    assert "over 4 rows the largest difference is 0" in capsys.readouterr().out
    assert main(["model", "bench", str(path), "--seconds", "0.01", "--threads", "1", "--signature", "dub"]) == 1
    assert "has no signature 'dub'; did you mean 'sub'?" in capsys.readouterr().err


def test_a_file_with_too_many_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.tflite"
    path.write_bytes(signed({f"f{index}": "ADD" for index in range(257)}))
    assert "more than 256 signatures" in getattr(inspect_model(path), "reason", "")


MULTI = SHARED / "litert-testdata/multi_signature_model.tflite"
REVERSE = SHARED / "litert-testdata/reverse_signature_model.tflite"


@pytest.mark.skipif(not MULTI.exists(), reason="the models are not here")
def test_files_of_litert_itself_run_every_function(models: Models) -> None:
    a, b = np.full((10, 10), 5, "<f4"), np.arange(100, dtype="<f4").reshape(10, 10)
    for name, expected in (("add", a + b), ("sub", a - b), ("mul", a * b)):
        model = models.rows(use(MULTI, name))
        assert [tensor.name for tensor in model.inputs] == ["b", "a"]
        assert model.run_rows([b.tobytes() + a.tobytes()]) == [expected.tobytes()]
        model.close()
    x, y = np.arange(8, dtype="<f4").reshape(1, 8), np.full((1, 8), 3, "<f4")
    model = models.rows(use(REVERSE, "serving_default"))
    assert ([t.name for t in model.inputs], [t.name for t in model.outputs]) == (["y", "x"], ["sum", "prod"])
    assert model.run_rows([y.tobytes() + x.tobytes()]) == [(x + y).tobytes() + (x * y).tobytes()]
    model.close()
