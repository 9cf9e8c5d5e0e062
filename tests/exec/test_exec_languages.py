"""Guests as their users write them, in languages whose compilers make commands: run by `flowrt exec`, their results
compared with the engine's own."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from commands import Done, run
from nn_models import autoencoder, double

from flowrt.guests.toolchain import RUST_LINKER, RUSTC

GUESTS = Path(__file__).parent / "guests"
ROWS = np.random.default_rng(5).normal(size=(7, 16)).astype("<f4")


@pytest.fixture(scope="module")
def rust(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """`predict.rs`, compiled by Debian's rustc with its standard library for WASI."""
    if not (Path("/usr/lib/rustlib/wasm32-wasi").is_dir() and RUSTC.exists() and RUST_LINKER.exists()):
        pytest.skip("apt-get install rustc libstd-rust-dev-wasm32 lld-14")
    out = tmp_path_factory.mktemp("rust") / "predict.wasm"
    flags = ["--edition=2021", "--target=wasm32-wasi", "-Copt-level=2", "-Cstrip=symbols", "-Dwarnings", "-o", str(out)]
    subprocess.run([RUSTC, *flags, GUESTS / "predict.rs"], check=True, timeout=300)
    return out.read_bytes()


def predict(folder: Path, code: bytes, *words: str, models: tuple[str, ...] = ()) -> Done:
    (folder / "rows.f32").write_bytes(ROWS.tobytes())
    given = [word for model in models for word in ("--nn", model)]
    return run(folder, code, "--dir", f"{folder}::/in", "--env", "WIDTH=16", *given, "--", *words)


@pytest.mark.parametrize("how", ["bytes", "name", "name with options"])
def test_a_rust_command_computes_what_the_engine_does(how: str, rust: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(autoencoder())
    engine = onnxruntime.InferenceSession(autoencoder(), providers=["CPUExecutionProvider"])
    expected = b"".join(engine.run(None, {"x": row[None]})[0].tobytes() for row in ROWS)
    if how == "bytes":
        done = predict(tmp_path, rust, "bytes", "/in/m.onnx", "/in/rows.f32")
    else:
        options = ["{}"] if how == "name with options" else []
        done = predict(tmp_path, rust, "name", "m", "/in/rows.f32", *options, models=("m=onnx:m.onnx",))
    assert done.status == 0, done.errors
    assert done.out == expected
    assert all("too-large: output 0 has 64 bytes, the guest's buffer 4" in line for line in done.errors.splitlines())


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (("name", "n", "/in/rows.f32"), 8, "not-found: the node has no model named 'n'; it has m"),
        (("bytes", "/in/rows.f32", "/in/rows.f32"), 2, "load: invalid-encoding: "),
        (("name", "m", "/in/rows.f32", "[]"), 1, "load_by_name_with_config: invalid-argument: "),
    ],
)
def test_a_rust_command_is_told_an_errno_and_its_user_why(
    words: tuple[str, ...], status: int, told: str, rust: bytes, tmp_path: Path
) -> None:
    (tmp_path / "m.onnx").write_bytes(autoencoder())
    done = predict(tmp_path, rust, *words, models=("m=onnx:m.onnx",))
    assert done.status == status
    assert told in done.errors


@pytest.mark.skipif(find_spec("llama_cpp") is None or find_spec("gguf") is None, reason="llama.cpp is not installed")
def test_a_rust_command_talks_as_wasmedges_do(rust: bytes, tmp_path: Path) -> None:
    import gguf_models

    gguf_models.write(tmp_path / "m.gguf")
    options = '{"n-predict": 8, "temp": 0, "ctx-size": 64}'
    done = predict(tmp_path, rust, "talk", "default", "Once", options, models=("default=ggml@auto:m.gguf",))
    assert (done.status, bool(done.out)) == (0, True), done.errors


def test_an_assemblyscript_command(tmp_path: Path) -> None:
    asc = shutil.which("asc")
    if asc is None:
        pytest.skip("npm install -g assemblyscript")
    out = tmp_path / "predict.wasm"
    words = [asc, "predict.ts", "-O", "--runtime", "stub", "--use", "abort=predict/abort", "-o", str(out)]
    subprocess.run(words, check=True, timeout=120, cwd=GUESTS)
    (tmp_path / "m.onnx").write_bytes(double())
    done = run(tmp_path, out.read_bytes(), "--nn", "m=onnx:m.onnx")
    assert (done.status, done.errors) == (0, "")
    assert done.out == np.array([2, 4, 6], "<f4").tobytes()
