"""One registry of models: loaded once, shared, counted, released."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from nn_models import F32, autoencoder, double, external, facts_of, model, node, use

from flowrt.graph.plan import ModelUse
from flowrt.nn.faults import ModelFault
from flowrt.nn.registry import Models
from flowrt.values import replace


def test_nodes_that_name_one_file_share_it_until_the_last_is_gone(tmp_path: Path) -> None:
    models, first = Models(idle_models=0), use(tmp_path, double(), "a")
    second = use(tmp_path, double(), "copy")
    one, two = models.rows(first), models.rows(second)
    assert len(models) == 1
    assert models.memory_bytes() == one.memory_bytes() == len(double())
    one.close()
    one.close()
    assert two.run_rows([bytes(12)]) == [bytes(12)]
    two.close()
    assert (len(models), models.memory_bytes()) == (0, 0)


def test_a_guests_bytes_are_shared_with_the_same_file(tmp_path: Path) -> None:
    models = Models()
    by_name, by_bytes = models.open(use(tmp_path, double())), models.open_bytes([double()], "onnx")
    assert by_name.session is by_bytes.session
    by_name.close()
    assert len(models) == 1
    by_bytes.close()
    assert len(models) == 0


def test_what_nobody_uses_stays_for_a_while_and_the_least_recently_used_goes_first(tmp_path: Path) -> None:
    models = Models(idle_models=2)
    a, b, c = (double(dims=("N", width)) for width in (1, 2, 3))
    for each in (a, b, a, c, a, b):
        models.open_bytes([each], "onnx").close()
    # a and b are loaded; a again; c drives b out, and b then drives c out.
    assert (models.counters.loads, models.counters.shared, models.counters.evicted, models.idle(), len(models)) == (
        4,
        2,
        2,
        2,
        0,
    )
    assert models.memory_bytes() == len(a) + len(b)


def test_large_models_do_not_stay(tmp_path: Path) -> None:
    models = Models(idle_bytes=len(double()))
    models.open_bytes([double()], "onnx").close()
    assert (models.idle(), models.counters.evicted) == (1, 0)
    models.open_bytes([autoencoder()], "onnx").close()
    assert (models.idle(), models.counters.evicted, models.memory_bytes()) == (1, 1, len(double()))


def test_a_model_in_use_is_never_driven_out(tmp_path: Path) -> None:
    models = Models(idle_models=1)
    held = models.open_bytes([double()], "onnx")
    for width in range(1, 5):
        models.open_bytes([double(dims=("N", width))], "onnx").close()
    assert held.session.run([np.ones((1, 3), "f4")])[0].tolist() == [[2, 2, 2]]
    assert (len(models), models.idle()) == (1, 1)


def test_many_threads_load_a_model_once(tmp_path: Path) -> None:
    models, wanted = Models(), use(tmp_path, double())
    sessions: list[object] = []
    threads = [threading.Thread(target=lambda: sessions.append(models.open(wanted).session)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(sessions) == 8
    assert len(set(map(id, sessions))) == 1


def test_a_model_that_fails_to_load_leaves_nothing(tmp_path: Path) -> None:
    models = Models()
    broken = use(tmp_path, model([node("NoSuchThing", "x", "y", name="odd")], [("x", F32, [1])], [("y", F32, [1])]))
    for _ in range(2):
        with pytest.raises(ModelFault, match=r"'m.onnx' does not load: .*NoSuchThing"):
            models.open(broken)
    assert len(models) == 0


def test_a_file_that_changed_since_the_check_is_refused(tmp_path: Path) -> None:
    wanted = use(tmp_path, double())
    (tmp_path / "m.onnx").write_bytes(double(dims=("N", 4)))
    with pytest.raises(ModelFault, match="has changed since it was checked") as caught:
        Models().open(wanted)
    assert caught.value.code == "security"


def test_a_file_that_is_gone_has_a_code_of_its_own(tmp_path: Path) -> None:
    wanted = use(tmp_path, double())
    (tmp_path / "m.onnx").unlink()
    with pytest.raises(ModelFault) as caught:
        Models().open(wanted)
    assert caught.value.code == "model-not-found"


@pytest.mark.parametrize("target", ["tpu", "npu", "elsewhere"])
def test_a_target_the_engine_lacks_is_told_with_what_it_has(tmp_path: Path, target: str) -> None:
    wanted = replace(use(tmp_path, double()), target=target)
    with pytest.raises(
        ModelFault, match=f"asks for target {target}; this ONNX Runtime has .*CPUExecutionProvider"
    ) as caught:
        Models().open(wanted)
    assert caught.value.code == "unsupported-operation"


def test_closing_the_registry_releases_what_is_still_in_use(tmp_path: Path) -> None:
    models = Models()
    rows = models.rows(use(tmp_path, double()))
    models.close()
    models.close()
    with pytest.raises(ModelFault, match="was released"):
        rows.run_rows([bytes(12)] * 3)
    rows.close()


def test_two_nodes_run_one_model_at_once(tmp_path: Path) -> None:
    models, wanted = Models(), use(tmp_path, double())
    found: list[bool] = []

    def work(seed: int) -> None:
        rows = models.rows(wanted)
        row = bytes([0, 0, 128, 63]) * 3  # 1.0 three times
        found.append(
            all(
                rows.run_rows([row] * (seed + i % 5)) == [bytes([0, 0, 0, 64]) * 3] * (seed + i % 5) for i in range(200)
            )
        )
        rows.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 2, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == [True, True, True]
    assert len(models) == 0


def test_external_weights_are_shared_within_their_folder_only(tmp_path: Path) -> None:
    """The digest covers the model's file, not the weights beside it."""
    uses = []
    for weight in (1.0, 2.0):
        folder = tmp_path / str(weight)
        folder.mkdir()
        (folder / "w.bin").write_bytes(np.full(4, weight, "<f4").tobytes())
        uses.append(ModelUse(folder.name, facts_of(external(folder, "w.bin"))))
    models = Models()
    results = [np.frombuffer(models.rows(each).run_rows([bytes(17)])[0], "<f4")[0] for each in uses]
    assert uses[0].facts.digest == uses[1].facts.digest
    assert results == [1.0, 2.0]
    models.close()
