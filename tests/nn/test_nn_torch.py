"""TorchScript that means harm, or says little: what is looked at before it is loaded."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from nn_engines import torchscript

from flowrt.graph.facts import ModelFacts
from flowrt.graph.plan import ModelUse
from flowrt.nn import torch_file
from flowrt.nn.backend import Source
from flowrt.nn.faults import ModelFault
from flowrt.nn.inspect import inspect_model
from flowrt.nn.registry import Models
from flowrt.operators.inference import ModelOptions

SOURCE = """class M(Module):
  __parameters__ = []
  def forward(self: __torch__.M, x: Tensor) -> Tensor:
    return {}
"""


def archive(code: str, **more: bytes) -> bytes:
    """A TorchScript archive as far as it is looked at before it is loaded."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("archive/version", "3\n")
        file.writestr("archive/code/__torch__.py", code)
        for name, data in more.items():
            file.writestr(f"archive/{name}", data)
    return buffer.getvalue()


class Harm:
    def __reduce__(self):
        return (Path.touch, (Path("harm-was-done"),))


def test_a_pickle_is_refused_unread_with_the_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as file:
        file.writestr("archive/data.pkl", pickle.dumps(Harm()))
    with pytest.raises(ModelFault, match=r"runs code as it loads; export TorchScript with torch.jit.save") as caught:
        torch_file.read(buffer.getvalue(), "m.pt")
    assert caught.value.code == "security"
    with pytest.raises(ModelFault, match="is no TorchScript archive"):
        torch_file.read(pickle.dumps(Harm()), "m.pt")
    assert not Path("harm-was-done").exists()


@pytest.mark.parametrize(
    "call",
    [
        'torch.from_file("/tmp/x", True, 4)',
        'torch . from_file ("/etc/passwd", False, 4)',
        'ops.aten.from_file("/tmp/x")',
        'torch.save(x, "/tmp/x")',
        "__torch__.torch.classes.rpc.Something(x)",
    ],
)
def test_code_that_reaches_beyond_tensors_is_not_run(call: str) -> None:
    with pytest.raises(ModelFault, match="reaches beyond the model's tensors; such code is not run") as caught:
        torch_file.read(archive(SOURCE.format(call)), "m.pt")
    assert caught.value.code == "security"


def test_operators_of_others_are_named() -> None:
    with pytest.raises(ModelFault, match="needs operators of 'torchvision', which is not here"):
        torch_file.read(archive(SOURCE.format("ops.torchvision.nms(x, x, 0.5)")), "m.pt")


def test_an_archive_that_unpacks_to_far_more_is_refused() -> None:
    with pytest.raises(ModelFault, match="unpacks to far more"):
        torch_file.read(archive(" " * 50_000_000), "m.pt")


def test_an_archive_may_say_its_tensors_itself() -> None:
    note = b'{"inputs": ["x: f32[N, 4]"], "outputs": ["y: i64[N]"]}'
    described = torch_file.read(archive(SOURCE.format("torch.argmax(x, 1)"), **{"extra/flowrt.json": note}), "m.pt")
    assert list(map(str, (*described.inputs, *described.outputs))) == ["x: f32[N, 4]", "y: i64[N]"]
    assert described.operators == {"argmax": 1}


@pytest.mark.parametrize("member", ["archive_format", "models/model.json", "serialized_exported_program.json"])
def test_an_archive_of_torch_export_is_refused_with_the_way_out(member: str) -> None:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as made:
        made.writestr(member if member.startswith("serialized") else f"m/{member}", b"pt2")
        made.writestr("m/data/weights/model_weights_config.json", b"{}")
    with pytest.raises(ModelFault, match=r"an archive of torch.export \(.pt2\).*torch.onnx.export") as caught:
        torch_file.read(data.getvalue(), "m.pt2")
    assert caught.value.code == "unsupported-operation"


def test_a_real_archive_of_torch_export_is_refused_so(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Doubles(torch.nn.Module):
        def forward(self, x):
            return x + x

    path = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(Doubles(), (torch.zeros(2, 3),)), path)
    with pytest.raises(ModelFault, match=r"an archive of torch\.export"):
        torch_file.read(path.read_bytes(), path.name)


def test_a_real_archive_that_opens_files_is_refused_before_it_runs(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    target = tmp_path / "made"

    class Writes(torch.nn.Module):
        def forward(self, x):
            return torch.from_file("PLACE", True, 4) + x

    made = torchscript(Writes())
    data = made.parts[0].replace(b"PLACE", str(target).encode())
    with pytest.raises(ModelFault, match="'from_file'"):
        Models().open_bytes([data], "pytorch")
    assert not target.exists()


def test_what_a_guest_brings_takes_any_tensor_and_an_operation_must_declare_them(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Double(torch.nn.Module):
        def forward(self, x):
            return x + x

    made = torchscript(Double())
    models = Models()
    handle = models.open_bytes(made.parts, "pytorch")
    for array in (np.ones((2, 3), "f4"), np.arange(3), np.zeros((0, 2), "f8"), np.float32(2).reshape(())):
        assert handle.session.run([array])[0].tolist() == (array + array).tolist()
    handle.close()
    path = made.write(tmp_path)
    facts = inspect_model(path)
    assert isinstance(facts, ModelFacts)
    with pytest.raises(
        ModelFault, match=r"does not say what its tensors are; declare them: inputs: \['x: f32\[N, 16\]'\]"
    ):
        models.rows(ModelUse("m", facts))
    rows = models.rows(ModelUse("m", facts, "cpu", ModelOptions(path=str(path), inputs=("x: i32[N, 2]",))))
    assert rows.run_rows([np.array([1, 2], "<i4").tobytes()]) == [np.array([2, 4], "<i4").tobytes()]
    rows.close()
    models.close()


def test_a_failure_inside_names_the_call(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")

    class Multiplies(torch.nn.Module):
        def forward(self, x):
            return torch.matmul(x, torch.ones(5, 2))

    session = torchscript(Multiplies()).load()
    with pytest.raises(ModelFault, match=r"'.*torch\.matmul.*' in forward \(code/.*\.py:\d+\) failed: .*shapes"):
        session.run([np.ones((2, 3), "f4")])
    session.close()


def test_bfloat16_keeps_its_bits() -> None:
    torch = pytest.importorskip("torch")

    class Same(torch.nn.Module):
        def forward(self, x):
            return x * 1

    made = torchscript(Same())
    source = Source("m", made.parts, inputs=torch_file.parse_slots(["x: bf16[3]"]))
    from flowrt.nn.backends.pytorch import TorchBackend

    bits = np.array([0x3F80, 0xC000, 0x4248], "<u2")  # 1, -2, 50
    assert TorchBackend().load(source, "cpu", 1).run([bits])[0].tolist() == bits.tolist()
