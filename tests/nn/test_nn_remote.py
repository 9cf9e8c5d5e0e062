"""Models on a server by the Open Inference Protocol v2, alone and as what takes a model's place."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nn_engines import expected
from nn_models import BOOL, F16, F32, I64, U8, autoencoder, facts_of, model, node
from onnx import TensorProto

from flowrt.graph.facts import ModelFacts
from flowrt.graph.plan import ModelUse
from flowrt.nn import v2
from flowrt.nn.backend import Session, Source
from flowrt.nn.backends.remote import RemoteBackend
from flowrt.nn.faults import ModelFault
from flowrt.nn.inspect import inspect_model
from flowrt.nn.registry import Models
from flowrt.nn.tensor_text import parse_slots
from flowrt.operators.inference import FallbackOptions, ModelOptions
from flowrt.values import replace

pytest.importorskip("grpc")
import contextlib

from v2_server import Server

ROWS = np.random.default_rng(1).normal(size=(5, 16)).astype("f4")


def strings() -> bytes:
    text = TensorProto.STRING
    return model([node("Identity", "x", "y")], [("x", text, ["N", 2])], [("y", text, ["N", 2])])


TYPED = {"f16": F16, "i64": I64, "u8": U8, "bool": BOOL}


def same(kind: int) -> bytes:
    return model([node("Identity", "x", "y")], [("x", kind, ["N", 2])], [("y", kind, ["N", 2])])


@pytest.fixture(scope="module", params=["bytes", "lists"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """Once with tensors as bytes, once with typed lists, as servers differ."""
    models = {"ae": autoencoder(), "text": strings(), **{name: same(kind) for name, kind in TYPED.items()}}
    plain = request.param == "bytes"
    running = Server(models, binary=plain, raw=plain)
    yield running
    running.close()


@pytest.fixture(params=["http", "grpc"])
def scheme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def load(url: str, **options: object) -> Session:
    inputs, outputs = (parse_slots(options.pop(key, ())) for key in ("inputs", "outputs"))  # type: ignore[arg-type]
    source = Source(url, (url.encode(),), options={"timeout": 5.0, **options}, inputs=inputs, outputs=outputs)
    return RemoteBackend().load(source, "cpu", 1)


def test_a_servers_model_tells_its_tensors_and_computes(server: Server, scheme: str) -> None:
    session = load(server.url(scheme, "ae"))
    assert [str(slot) for slot in (*session.inputs, *session.outputs)] == ["x: f32[?, 16]", "y: f32[?, 16]"]
    for rows in (1, 5, 0):
        [found] = session.run([ROWS[:rows]])
        np.testing.assert_allclose(found, expected(ROWS[:rows]), rtol=1e-5, atol=1e-5)
    session.close()
    with pytest.raises(ModelFault, match="was released"):
        session.run([ROWS])


@pytest.mark.parametrize("kind", TYPED)
def test_types_arrive_as_they_are(server: Server, scheme: str, kind: str) -> None:
    if kind == "f16" and not server.binary:
        pytest.skip("lists have no half precision")
    session = load(server.url(scheme, kind))
    given = {"i64": [[-(2**40), 3]], "f16": [[1.5, -2]], "u8": [[255, 0]], "bool": [[True, False]]}[kind]
    [found] = session.run([np.array(given, {"f16": "f2", "i64": "i8", "u8": "u1", "bool": "?"}[kind])])
    assert found.tolist() == given
    session.close()


def test_strings_arrive_as_they_are(server: Server, scheme: str) -> None:
    session = load(server.url(scheme, "text"))
    given = np.array([[b"alarm", b""], ["höher".encode(), b"x" * 300]], object)
    assert session.run([given])[0].tolist() == given.tolist()
    session.close()


def test_what_is_wrong_is_told_before_the_server_sees_it(server: Server, scheme: str) -> None:
    session, before = load(server.url(scheme, "ae")), server.requests
    with pytest.raises(ModelFault, match=r"input x: f32\[\?, 16\] was given float32\[2, 5\]"):
        session.run([np.zeros((2, 5), "f4")])
    assert server.requests == before
    session.close()


def test_a_model_the_server_does_not_have(server: Server, scheme: str) -> None:
    with pytest.raises(ModelFault, match=r"127\.0\.0\.1:\d+ answers (404|NOT_FOUND): no such model") as caught:
        load(server.url(scheme, "other"))
    assert caught.value.code == "not-found"


def test_a_server_that_is_not_there_is_named_and_declared_tensors_need_it_only_to_run(scheme: str) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"{scheme}://127.0.0.1:{held.getsockname()[1]}/m"
    with pytest.raises(ModelFault, match=r"127\.0\.0\.1:\d+ (cannot be reached|answers UNAVAILABLE)"):
        load(url)
    session = load(url, inputs=["x: f32[N, 2]"], outputs=["y: f32[N, 2]"])
    with pytest.raises(ModelFault, match=r"model '.*/m': 127\.0\.0\.1:\d+ (cannot be reached|answers UNAVAILABLE)"):
        session.run([np.zeros((1, 2), "f4")])
    session.close()


def test_a_server_that_is_too_slow_is_given_up(server: Server, scheme: str) -> None:
    session = load(server.url(scheme, "ae"), timeout=0.2)
    session.run([ROWS])
    server.delay = 1.0
    try:
        with pytest.raises(ModelFault) as caught:
            session.run([ROWS])
    finally:
        server.delay = 0.0
    assert caught.value.code == "timeout"
    session.close()


@pytest.mark.parametrize(
    "answer",
    [
        b"what?",
        b"{}",
        b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [1, 3], "data": [1, 2]}]}',
        b'{"outputs": [{"name": "y", "datatype": "FP32", "shape": [99999999, 99999999], "data": []}]}',
        b'{"outputs": [{"name": "z", "datatype": "FP32", "shape": [1], "data": [1]}]}',
        b'{"outputs": [{"name": "y", "datatype": "INT8", "shape": [1, 16], "data": [1]}]}',
        b"[" * 100_000,
    ],
)
def test_a_server_that_answers_amiss_harms_nobody(server: Server, scheme: str, answer: bytes) -> None:
    session = load(server.url(scheme, "ae"))
    server.broken = answer
    try:
        with pytest.raises(ModelFault, match="its server answers amiss"):
            session.run([ROWS[:1]])
    finally:
        server.broken = b""
    np.testing.assert_allclose(session.run([ROWS])[0], expected(ROWS), rtol=1e-5, atol=1e-5)
    session.close()


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
def test_no_answer_raises_anything_but_bad_answer(data: bytes) -> None:
    for decode in (v2.decode_infer, v2.decode_about, v2.decode_metadata, v2.extensions):
        with contextlib.suppress(v2.BadAnswer):
            decode(data)
    for head in (None, len(data) // 2):
        with contextlib.suppress(v2.BadAnswer):
            v2.decode_json(data, head)


def test_a_token_and_a_version_travel(server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret\n")
    session = load(server.url("http", "ae"), tokenFile=str(tmp_path / "token"))
    session.run([ROWS])
    assert server.headers["Authorization"] == "Bearer secret"
    session.close()


@pytest.mark.parametrize("address", ["http://", "http://host", "grpc://host/", "http://user@host/m", "ftp://host/m"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ModelFault, match="is no server's model; write http://HOST:PORT/MODEL"):
        load(address)


# As a fallback


def fallback(url: str, local: Path, **changes: object) -> ModelUse:
    options = ModelOptions(path=str(local), fallback=FallbackOptions(path=url, **changes))
    away = inspect_model(url)
    assert isinstance(away, ModelFacts)
    return ModelUse("m", facts_of(local), "cpu", options, ModelUse("m", away, "cpu", options.fallback))


def test_a_model_whose_engine_lacks_runs_on_its_server_and_is_counted(
    server: Server, scheme: str, tmp_path: Path
) -> None:
    path, said = tmp_path / "m.onnx", []
    path.write_bytes(autoencoder())
    wanted = fallback(server.url(scheme, "ae"), path)
    models = Models()
    loaded = models.rows(replace(wanted, target="npu"), report=said.append)
    rows = loaded.run_rows([row.tobytes() for row in ROWS])
    found = np.stack([np.frombuffer(row, "<f4") for row in rows])
    np.testing.assert_allclose(found, expected(ROWS), rtol=1e-5, atol=1e-5)
    assert loaded.fallbacks == {"engine": 5}
    assert "does not run here (engine); its fallback does: model 'm.onnx' asks for target npu" in said[0]
    loaded.close()
    models.close()


def test_a_model_that_is_too_large_for_its_quota_runs_on_its_server(server: Server, tmp_path: Path) -> None:
    path, said = tmp_path / "m.onnx", []
    path.write_bytes(autoencoder())
    models = Models()
    loaded = models.rows(fallback(server.url("http", "ae"), path), room=1000, report=said.append)
    loaded.run_rows([ROWS[0].tobytes()])
    assert loaded.fallbacks == {"memory": 1}
    assert "(memory)" in said[0]
    loaded.close()
    assert models.memory_bytes() <= len(autoencoder())
    models.close()


def test_while_the_model_runs_here_its_server_is_not_asked(server: Server, tmp_path: Path) -> None:
    path, before = tmp_path / "m.onnx", server.requests
    path.write_bytes(autoencoder())
    models = Models()
    loaded = models.rows(fallback(server.url("http", "ae"), path))
    loaded.run_rows([row.tobytes() for row in ROWS])
    assert (loaded.fallbacks, server.requests) == ({}, before)
    loaded.close()
    models.close()


def test_a_model_that_is_broken_is_no_reason_for_its_fallback(server: Server, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(model([node("NoSuchThing", "x", "y")], [("x", F32, ["N", 16])], [("y", F32, ["N", 16])]))
    with pytest.raises(ModelFault, match="NoSuchThing"):
        Models().rows(fallback(server.url("http", "ae"), path))


# A server we did not write

RUNTIME = """
import onnxruntime as ort
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse, MetadataTensor

class Onnx(MLModel):
    async def load(self):
        self.session = ort.InferenceSession("m.onnx", providers=["CPUExecutionProvider"])
        self._settings.inputs = [MetadataTensor(name="x", datatype="FP32", shape=[-1, 16])]
        self._settings.outputs = [MetadataTensor(name="y", datatype="FP32", shape=[-1, 16])]
        return True

    async def predict(self, payload):
        x = NumpyCodec.decode_input(payload.inputs[0])
        [y] = self.session.run(None, {"x": x})
        return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("y", y)])
"""


@pytest.fixture(scope="module")
def mlserver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """MLServer from PyPI, where `FLOWRT_MLSERVER` or the path has it (`make test-remote`)."""
    program = os.environ.get("FLOWRT_MLSERVER") or shutil.which("mlserver")
    if program is None:
        pytest.skip("MLServer is not installed; make test-remote")
    folder = tmp_path_factory.mktemp("mlserver")
    ports: dict[str, int] = {}
    for name in ("http", "grpc", "metrics"):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            ports[name] = free.getsockname()[1]
    (folder / "runtime.py").write_text(RUNTIME)
    (folder / "m.onnx").write_bytes(autoencoder())
    settings_ = {"host": "127.0.0.1", "parallel_workers": 0, **{f"{name}_port": port for name, port in ports.items()}}
    (folder / "settings.json").write_text(json.dumps(settings_))
    (folder / "model-settings.json").write_text(json.dumps({"name": "ae", "implementation": "runtime.Onnx"}))
    process = subprocess.Popen(
        [program, "start", "."], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(folder)},
    )  # fmt: skip
    try:
        urls = {scheme: f"{scheme}://127.0.0.1:{ports[scheme]}/ae" for scheme in ("http", "grpc")}
        deadline = time.monotonic() + 60
        while not _answers(urls["grpc"]):
            assert time.monotonic() < deadline, "MLServer does not come up"
            assert process.poll() is None, "MLServer ended"
            time.sleep(0.2)
        yield urls
    finally:
        process.terminate()
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        load(url).close()
    except ModelFault:
        return False
    return True


def test_mlserver_computes_the_same(mlserver: dict[str, str], scheme: str) -> None:
    session = load(mlserver[scheme])
    assert [str(slot) for slot in (*session.inputs, *session.outputs)] == ["x: f32[?, 16]", "y: f32[?, 16]"]
    for rows in (1, 5):
        np.testing.assert_allclose(session.run([ROWS[:rows]])[0], expected(ROWS[:rows]), rtol=1e-4, atol=1e-4)
    session.close()


def test_mlserver_names_what_it_does_not_have(mlserver: dict[str, str], scheme: str) -> None:
    with pytest.raises(ModelFault) as caught:
        load(mlserver[scheme].replace("/ae", "/none"))
    assert caught.value.code == "not-found"
