"""pump-verdict and pump-detector: hysteresis, changes, state, and the two forms of the example agreeing."""

from __future__ import annotations

import json
import math
import struct
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from guest_bench import FEATURES, Bench, make_batch, payloads

from flowrt.errors import GuestTrap
from flowrt.graph.plan import ModelUse
from flowrt.message import Head, Tensor
from flowrt.nn.doors.node import NodeDoor
from flowrt.nn.inspect import inspect_model
from flowrt.nn.registry import Models

MODEL = Path(__file__).parents[2] / "graphs" / "models" / "pump-ae.onnx"
HEAD = Head("a", tensors=(Tensor("score", "f32", (1,)), Tensor("errors", "f32", (8,))))
EVEN = [0.125] * 8


def scored(*scores: float, errors: list[float] = EVEN) -> list[bytes]:
    return [struct.pack("<9f", score, *errors) for score in scores]


def verdicts(bench: Bench, scores: list[float], **properties: str) -> list[dict]:
    guest = bench.guest("pump-verdict", **properties)
    output = guest.map(make_batch(scored(*scores), HEAD, range(1000, 1000 + len(scores))))
    return [json.loads(payload) for payload in output.payloads]


def test_an_alert_begins_after_three_high_scores_and_ends_at_a_low_one(bench: Bench):
    found = verdicts(bench, [1, 4, 4, 3, 4, 4, 4, 3, 3.4, 2.8, 4])

    assert [verdict["alert"] for verdict in found] == [False] * 6 + [True] * 3 + [False] * 2
    assert [verdict["since"] for verdict in found] == [1000] * 6 + [1006] * 3 + [1009] * 2


def test_threshold_clear_and_hold_are_properties(bench: Bench):
    found = verdicts(bench, [2, 2, 1.9, 1.1, 1], threshold="1.5", clear="1", hold="2")

    assert [verdict["alert"] for verdict in found] == [False, True, True, True, False]


def test_only_changes_are_emitted_when_asked(bench: Bench):
    guest = bench.guest("pump-verdict", only="changes", hold="1")

    output = guest.map(make_batch(scored(1, 4, 4, 4, 1, 1, 4), HEAD, range(7)))

    assert list(output.rows) == [1, 4, 6]
    assert [json.loads(payload)["alert"] for payload in output.payloads] == [True, False, True]


def test_the_sensor_with_the_largest_share_is_named(bench: Bench):
    shares = [[float(i == place) for i in range(8)] for place in range(8)]
    guest = bench.guest("pump-verdict")

    output = guest.map(make_batch([scored(1, errors=share)[0] for share in shares], HEAD))

    assert [json.loads(payload)["sensor"] for payload in output.payloads] == [
        "accelerometer1", "accelerometer2", "current", "pressure", "temperature", "thermocouple", "voltage", "flow",
    ]  # fmt: skip


@pytest.mark.parametrize("score", [math.nan, math.inf])
def test_a_score_that_is_no_number_is_null_and_counts_as_high(bench: Bench, score: float):
    found = verdicts(bench, [1, score, score, score, 1])

    assert [verdict["score"] for verdict in found] == [1, None, None, None, 1]
    assert [verdict["alert"] for verdict in found] == [False, False, False, True, False]


def test_shares_that_are_no_numbers_still_give_a_verdict(bench: Bench):
    guest = bench.guest("pump-verdict")

    output = guest.map(make_batch(scored(1, errors=[math.nan] * 7 + [0.5]), HEAD))

    assert json.loads(output.payloads[0])["sensor"] == "flow"


def test_scores_are_written_so_that_they_read_back_as_they_were(bench: Bench):
    scores = np.random.default_rng(1).lognormal(0, 5, 500).astype(np.float32)

    found = np.array([verdict["score"] for verdict in verdicts(bench, scores.tolist())], np.float32)

    assert np.array_equal(found, scores)


@pytest.mark.parametrize(
    ("head", "payload", "words"),
    [
        (Head("a"), scored(1)[0], "the tensor `score` f32[1] is missing"),
        (Head("a", tensors=(Tensor("score", "f64", (1,)),)), bytes(8), "the tensor `score` f32[1] is missing"),
        (Head("a", tensors=(Tensor("score", "f32", (1,)),)), bytes(4), "the tensor `errors` f32[8] is missing"),
        (HEAD, scored(1)[0][:-1], "the tensor `errors` f32[8] is missing"),
    ],
)
def test_other_tensors_fail(bench: Bench, head: Head, payload: bytes, words: str):
    assert bench.guest("pump-verdict").map(make_batch([payload], head)).errors == {0: words}


def test_tensors_with_a_batch_dimension_are_taken(bench: Bench):
    head = Head("a", tensors=(Tensor("score", "f32", (1, 1)), Tensor("errors", "f32", (1, 8))))

    assert not bench.guest("pump-verdict").map(make_batch(scored(1), head)).errors


def test_a_fresh_instance_keeps_the_alert_and_the_count(bench: Bench):
    before, after = bench.guest("pump-verdict"), bench.guest("pump-verdict")
    before.map(make_batch(scored(4, 4), HEAD, [1, 2]))
    after.restore(before.save())

    output = after.map(make_batch(scored(4), HEAD, [3]))

    assert json.loads(output.payloads[0]) == {"score": 4, "alert": True, "since": 3, "sensor": "accelerometer1"}


@pytest.mark.parametrize("given_properties", [{"clear": "5"}, {"hold": "0"}, {"only": "some"}, {"threshold": "-1"}])
def test_a_configuration_it_cannot_use_is_refused(bench: Bench, given_properties: dict[str, str]):
    with pytest.raises(GuestTrap):
        bench.guest("pump-verdict", **given_properties)

    assert len(bench.logged) == 1


def model_use(name: str) -> ModelUse:
    return ModelUse(name, inspect_model(MODEL))


def test_the_guest_that_drives_the_model_gives_the_verdicts_of_the_graph(bench: Bench):
    """The example's two forms: features, inference and verdict as three nodes, and pump-detector as one."""
    rng = np.random.default_rng(5)
    readings = rng.normal(size=(120, 8)) + np.where(np.arange(120)[:, None] > 60, 8, 0)
    heads = [Head("a"), Head("b")] * 60
    times = range(120)
    models = Models()
    door = NodeDoor(models, [model_use("pump-ae")], memory=1 << 20, report=lambda _: None)
    with closing(models.rows(model_use("inference"))) as model:
        first = bench.guest("pump-features", FEATURES).map(make_batch(payloads(readings), heads, times))
        kept = [heads[row].with_(tensors=HEAD.tensors) for row in first.rows]
        kept_once = {head.topic: head for head in kept}
        chain = bench.guest("pump-verdict").map(
            make_batch(
                model.run_rows(first.payloads),
                [kept_once[head.topic] for head in kept],
                [times[row] for row in first.rows],
            )
        )
        alone = bench.guest("pump-detector", extra=door.core(), model="pump-ae").map(
            make_batch(payloads(readings), heads, times)
        )

    door.close()
    assert [json.loads(payload)["alert"] for payload in alone.payloads][-1] is True
    assert list(alone.rows) == list(first.rows)
    for one, other in zip(alone.payloads, chain.payloads, strict=True):
        mine, theirs = json.loads(one), json.loads(other)
        assert mine.pop("score") == pytest.approx(theirs.pop("score"), rel=1e-6)
        assert mine == theirs


def test_the_detectors_state_is_that_of_both_its_halves(bench: Bench):
    readings = np.random.default_rng(6).normal(size=(60, 8))
    models = Models()
    doors = [NodeDoor(models, [model_use("default")], memory=1 << 20, report=lambda _: None) for _ in range(3)]
    whole, before, after = (bench.guest("pump-detector", extra=door.core()) for door in doors)
    expected = whole.map(make_batch(payloads(readings), times=range(60))).payloads

    head = before.map(make_batch(payloads(readings[:30]), times=range(30))).payloads
    after.restore(before.save())
    tail = after.map(make_batch(payloads(readings[30:]), times=range(30, 60))).payloads

    assert [*head, *tail] == expected
    assert after.save() == whole.save()
    for door in doors:
        door.close()


def test_a_model_that_is_not_there_is_named(bench: Bench):
    door = NodeDoor(Models(), [], memory=1 << 20, report=lambda _: None)

    with pytest.raises(GuestTrap):
        bench.guest("pump-detector", extra=door.core(), model="other")

    assert bench.logged == ["wasi-nn cannot load the model other"]
