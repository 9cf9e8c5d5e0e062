"""The model: what the committed file says it is, from the script that says it makes it."""

import hashlib
import io
import re
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from flowrt.demo import autoencoder, offline, simulator, train
from flowrt.demo.features import features
from flowrt.demo.recordings import rows_of
from flowrt.demo.simulator import SENSORS

GRAPHS = Path(__file__).parents[2] / "graphs"
MODEL = GRAPHS / "models" / "pump-ae.onnx"


@pytest.fixture(scope="module")
def trained() -> train.Trained:
    return train.make()


@pytest.fixture(scope="module")
def faulty():
    return features(rows_of(simulator.readings(99, 600, 300)))


def test_training_again_makes_the_committed_model(trained: train.Trained, faulty):
    """To the byte on the same processor; elsewhere sums may be added in another order, and the last digits differ."""
    if trained.onnx == MODEL.read_bytes():
        return
    ours, committed = (
        onnxruntime.InferenceSession(model).run(None, {"features": faulty})[0]
        for model in (trained.onnx, MODEL.read_bytes())
    )
    np.testing.assert_allclose(ours, committed, rtol=1e-5, atol=1e-5)


def test_training_is_repeatable(faulty):
    once, again = (train.fit(faulty[:250], "test", epochs=3).onnx for _ in range(2))
    assert once == again


@pytest.mark.parametrize("graph", ["pump-anomaly.yaml", "pump-anomaly-guest.yaml"])
def test_the_graphs_name_the_digest_of_the_committed_model(graph: str):
    (digest,) = re.findall(r"[0-9a-f]{64}", (GRAPHS / graph).read_text())
    assert digest == hashlib.sha256(MODEL.read_bytes()).hexdigest()


def test_the_file_computes_what_the_model_does(trained: train.Trained, faulty):
    score, errors = onnxruntime.InferenceSession(trained.onnx).run(None, {"features": faulty})
    np.testing.assert_allclose(score[:, 0], trained.model.scores(faulty), rtol=1e-5)
    squares = trained.model.squares(faulty).reshape(len(faulty), 3, len(SENSORS)).sum(axis=1)
    np.testing.assert_allclose(errors, squares / squares.sum(axis=1, keepdims=True), atol=1e-5)


def test_the_file_takes_and_gives_what_the_graph_expects():
    session = onnxruntime.InferenceSession(MODEL.read_bytes())
    ends = [(end.name, end.type, end.shape) for end in (*session.get_inputs(), *session.get_outputs())]
    assert ends == [
        ("features", "tensor(float)", ["batch", 24]),
        ("score", "tensor(float)", ["batch", 1]),
        ("errors", "tensor(float)", ["batch", 8]),
    ]


def test_a_score_does_not_depend_on_the_batch_it_is_computed_in(faulty):
    session = onnxruntime.InferenceSession(MODEL.read_bytes())
    whole = session.run(["score"], {"features": faulty})[0]
    alone = np.concatenate([session.run(["score"], {"features": row[None]})[0] for row in faulty])
    np.testing.assert_allclose(alone, whole, rtol=1e-6)


@pytest.mark.parametrize("seed", [11, 12, 13])
def test_a_healthy_pump_stays_below_the_alert_and_every_fault_is_seen(seed: int):
    model = MODEL.read_bytes()
    assert offline.scores(model, rows_of(simulator.readings(seed, 3600))).max() < 3.5
    for fault in simulator.FAULTS:
        scores = offline.scores(model, rows_of(simulator.readings(seed, 200, 100, fault)))
        assert (scores[-60:] > 3.5).sum() > 10, fault


def test_score_one_is_the_stated_quantile_of_the_validation_rows():
    rows = features(rows_of(simulator.readings(1, 2000)))
    model = autoencoder.train(rows, 1, 5, lambda epoch: None)
    assert 0.9 < np.mean(model.scores(rows) < 1.0) <= 1.0


def test_gradients_agree_with_finite_differences():
    random = np.random.RandomState(0)
    layers = autoencoder._start(random, 4)
    rows = random.normal(size=(7, 4))
    gradients, loss = autoencoder._gradients(layers, rows)
    for array, gradient in zip([array for layer in layers for array in layer], gradients, strict=True):
        where = tuple(random.randint(size) for size in array.shape)
        array[where] += 1e-6
        _, moved = autoencoder._gradients(layers, rows)
        array[where] -= 1e-6
        assert gradient[where] == pytest.approx((moved - loss) / 1e-6, rel=1e-3, abs=1e-6)


def test_progress_is_shown_and_too_little_data_refused(faulty):
    out = io.StringIO()
    train.fit(faulty[:250], "test", epochs=5, out=out)
    assert out.getvalue().startswith("epoch 5/5: loss 0.")
    with pytest.raises(ValueError, match="199 rows are too few to train on; 200 are the least"):
        train.fit(faulty[:199], "test")
