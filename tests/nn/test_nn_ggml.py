"""Language models on llama.cpp, where it is installed: text at once and piece by piece, as WasmEdge's guests use it."""

from __future__ import annotations

import itertools
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nn_guest import Guest
from nn_models import facts_of

from flowrt.graph.plan import ModelUse
from flowrt.nn.backend import Session, Source
from flowrt.nn.doors.node import NodeDoor
from flowrt.nn.faults import ModelFault
from flowrt.nn.patience import patience
from flowrt.nn.registry import Models

pytest.importorskip("gguf", reason="the gguf package is not installed; make test-ggml")
pytest.importorskip("llama_cpp", reason="llama-cpp-python is not installed; make test-ggml")
import gguf_models

from flowrt.nn.backends.ggml import GgmlBackend


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf_models.write(tmp_path_factory.mktemp("gguf") / "babble.gguf")


@pytest.fixture(scope="module")
def session(path: Path) -> Session:
    return load(path, **{"temp": 0, "n-predict": 12})


def load(path: Path, **options: Any) -> Session:
    data = path.read_bytes()
    return GgmlBackend().load(Source(path.name, (data,), path.parent, path, options), "cpu", 1)


def octets(text: bytes) -> np.ndarray:
    return np.frombuffer(text, np.uint8)


def ask(session: Session, prompt: bytes = b"pump-7", **options: Any) -> tuple[bytes, dict[str, Any]]:
    given = octets(json.dumps(options).encode()) if options else None
    text, about = session.run([octets(prompt), given])
    return text.tobytes(), json.loads(about.tobytes())


def test_the_file_alone_tells_what_it_is(path: Path) -> None:
    facts = facts_of(path)
    assert (facts.encoding, [t.name for t in facts.inputs]) == ("ggml", ["prompt", "options"])
    assert 4 * 2 * 259 * 32 < facts.parameter_bytes < path.stat().st_size


def test_a_prompt_becomes_text_and_the_tokens_are_counted(session: Session) -> None:
    text, about = ask(session)
    assert len(text) == 12  # a token is a byte here
    assert (about["input_tokens"], about["output_tokens"]) == (7, 12)
    assert ask(session)[0] == text


def test_options_with_the_prompt_win_over_the_models(session: Session) -> None:
    assert ask(session, **{"n-predict": 3})[0] == ask(session)[0][:3]
    assert ask(session, **{"n-predict": "3"})[0] == ask(session)[0][:3]
    hot = {ask(session, temp=5.0, **{"top-k": 0, "min-p": 0})[0] for _ in range(3)}
    assert len(hot) > 1


def test_text_that_streams_is_the_same_text(session: Session) -> None:
    stream = session.stream([octets(b"pump-7"), None])
    assert stream is not None
    pieces = []
    while (piece := stream.next()) is not None:
        pieces.append(piece)
    assert (b"".join(pieces), len(pieces)) == (ask(session)[0], 12)
    assert json.loads(stream.about())["output_tokens"] == 12
    assert stream.next() is None
    stream.close()


def test_a_model_that_makes_text_for_somebody_is_busy(session: Session) -> None:
    stream = session.stream([octets(b"a"), None])
    assert stream is not None
    stream.next()
    with pytest.raises(ModelFault, match="makes text for somebody else") as caught:
        session.stream([octets(b"b"), None])
    assert caught.value.code == "busy"
    with pytest.raises(ModelFault, match="makes text for somebody else"):  # and does not wait for itself for ever
        session.run([octets(b"b"), None])
    stream.close()
    stream.close()
    ask(session)


def test_texts_of_several_threads_take_turns(session: Session) -> None:
    alone = ask(session)[0]
    with ThreadPoolExecutor(4) as pool:
        texts = list(pool.map(lambda _: ask(session)[0], range(8)))
    assert texts == [alone] * 8


def test_a_text_ends_when_its_caller_waits_no_longer(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """The clock is ours: each look at it is a second."""
    clock = itertools.count()
    monkeypatch.setattr("flowrt.nn.patience.monotonic", lambda: next(clock))
    with patience(5), pytest.raises(ModelFault, match="not done when the call's deadline had passed") as caught:
        ask(session)
    assert caught.value.code == "timeout"
    with patience(5):
        stream = session.stream([octets(b"pump-7"), None])
        assert stream is not None
        with pytest.raises(ModelFault, match="deadline"):
            list(iter(stream.next, None))
    assert len(ask(session)[0]) == 12  # and the model is free again


def test_the_deadline_of_a_guest_bounds_its_texts(path: Path) -> None:
    """Its one call of `compute` would take for ever; it gets errno 5 and goes on, until its own deadline."""
    models = Models()
    use = ModelUse("m", facts_of(path), options=None)
    door = NodeDoor(models, [use], memory=1 << 24, report=lambda _: None, deadline=0.0)
    guest = Guest(door.core())
    context = guest.context()
    assert guest.set_input(context, np.frombuffer(b"pump-7", "u1"), tag=3) == 0
    assert guest.call("compute", context) == 5
    assert guest.call("compute_single", context) == 5
    assert door.refusals == {"timeout": 2}
    door.close()
    models.close()


def test_a_full_context_ends_a_stream_by_name_and_a_run_with_what_there_is(session: Session) -> None:
    stream = session.stream([octets(b"x" * 120), octets(b'{"n-predict": -1}')])
    assert stream is not None
    for _ in range(gguf_models.CONTEXT - 121):
        assert stream.next() is not None
    with pytest.raises(ModelFault) as caught:
        stream.next()
    assert caught.value.code == "context-full"
    assert len(ask(session, b"x" * 120, **{"n-predict": -1})[0]) == gguf_models.CONTEXT - 121


def test_a_prompt_that_does_not_fit_is_refused_with_both_lengths(session: Session) -> None:
    with pytest.raises(ModelFault, match="a prompt of 301 tokens; there is room for 128") as caught:
        session.run([octets(b"x" * 300), None])
    assert caught.value.code == "prompt-too-long"
    ask(session)


@pytest.mark.parametrize("options", [b"[]", b"what", b'{"temp": "warm"}', b"[" * 100_000, b'{"n-predict": []}'])
def test_options_that_are_none_are_refused(session: Session, options: bytes) -> None:
    with pytest.raises(ModelFault, match=r"JSON object|no number") as caught:
        session.run([octets(b"a"), octets(options)])
    assert caught.value.code == "invalid-argument"


def test_an_embedding_model_makes_a_vector(path: Path) -> None:
    session = load(path, embedding=True)
    [text, about] = session.run([octets(b"pump-7"), None])
    made = json.loads(text.tobytes())
    assert made["n_embedding"] == len(made["embedding"]) == gguf_models.WIDE
    assert np.linalg.norm(made["embedding"]) == pytest.approx(1, abs=1e-3)
    assert json.loads(about.tobytes())["input_tokens"] == 7
    session.close()


def test_bytes_of_a_guest_are_a_model_too(path: Path) -> None:
    models = Models()
    handle = models.open_bytes([path.read_bytes()], "ggml", options={"temp": 0, "n-predict": 4})
    assert len(ask(handle.session)[0]) == 4
    handle.close()
    models.close()


def test_an_operation_answers_each_message(path: Path) -> None:
    models = Models()
    loaded = models.rows(ModelUse("m", facts_of(path)))
    answers = loaded.run_rows([b"x" * 120, b"y" * 120])
    assert [len(answer) for answer in answers] == [7, 7]
    loaded.close()
    models.close()


def test_what_was_released_says_so(path: Path) -> None:
    session = load(path)
    assert session.memory_bytes() > path.stat().st_size / 2
    session.close()
    session.close()
    assert session.memory_bytes() == 0
    with pytest.raises(ModelFault, match="was released"):
        ask(session)


def test_a_truncated_file_is_refused(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for length in (0, 4, 40, 1000, len(whole) // 2, len(whole) - 100):
        cut = tmp_path / "cut.gguf"
        cut.write_bytes(whole[:length])
        with pytest.raises(ModelFault, match=r"is no GGUF model|does not load"):
            load(cut)


def test_a_file_of_another_architecture_is_refused_in_the_engines_words(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.gguf"
    other.write_bytes(
        path.read_bytes().replace(b"llama.", b"lloma.").replace(b"\x05\0\0\0\0\0\0\0llama", b"\x05\0\0\0\0\0\0\0lloma")
    )
    with pytest.raises(ModelFault, match=r"does not load: .*lloma"):
        load(other)
