"""pump-features: the same bits as numpy, a window a topic, and a state that survives."""

from __future__ import annotations

import json

import numpy as np
import pytest
from guest_bench import FEATURES, Bench, make_batch, payloads
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.demo.features import features
from flowrt.demo.simulator import SENSORS
from flowrt.errors import GuestTrap
from flowrt.message import Head


def as_array(outputs: list[bytes]) -> np.ndarray:
    return np.frombuffer(b"".join(outputs), np.float32).reshape(-1, 24)


def random_readings(seed: int, count: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, 8)) * 10.0 ** rng.integers(-9, 9, size=(count, 8))


def test_features_are_bit_for_bit_those_of_numpy(bench: Bench):
    readings = random_readings(1, 500)

    output = bench.guest("pump-features", FEATURES).map(make_batch(payloads(readings)))

    assert list(output.rows) == list(range(15, 500))
    assert np.array_equal(as_array(output.payloads), features(readings))
    assert {head.tensors for head in output.heads} == {FEATURES}


def test_it_does_not_matter_how_readings_are_batched(bench: Bench):
    readings = random_readings(2, 100)
    guest = bench.guest("pump-features", FEATURES)
    outputs = []
    for start, end in [(0, 1), (1, 14), (14, 17), (17, 18), (18, 100)]:
        outputs += guest.map(make_batch(payloads(readings[start:end]))).payloads

    assert np.array_equal(as_array(outputs), features(readings))


def test_each_topic_has_its_own_window(bench: Bench):
    first, second = random_readings(3, 40), random_readings(4, 40)
    mixed = [payload for pair in zip(payloads(first), payloads(second), strict=True) for payload in pair]

    output = bench.guest("pump-features", FEATURES).map(make_batch(mixed, [Head("a"), Head("b")] * 40))

    found = as_array(output.payloads)
    assert np.array_equal(found[0::2], features(first))
    assert np.array_equal(found[1::2], features(second))


def test_a_constant_sensor_deviates_by_nothing(bench: Bench):
    readings = np.tile([0.25, -3.0, 0.0, 1e9, 1e-9, 2.5, 220.0, 32.0], (16, 1))

    (vector,) = as_array(bench.guest("pump-features", FEATURES).map(make_batch(payloads(readings))).payloads)

    assert np.array_equal(vector[:8], readings[0].astype(np.float32))
    assert np.allclose(vector[8:], 0, atol=1e-6)


@pytest.mark.parametrize("length", [2, 3, 64])
def test_the_window_has_the_length_asked_for(bench: Bench, length: int):
    readings = random_readings(5, 100)

    output = bench.guest("pump-features", FEATURES, window=str(length)).map(make_batch(payloads(readings)))

    last = readings[-length:]
    expected = np.concatenate([last.mean(0), last.std(0), last[-1] - last.mean(0)])
    assert len(output.payloads) == 101 - length
    assert np.allclose(as_array(output.payloads)[-1], expected, rtol=1e-6)


GOOD = dict.fromkeys(SENSORS, 1.0)


@pytest.mark.parametrize(
    ("payload", "words"),
    [
        (b"", "the payload is no JSON object"),
        (b"\xff\x00", "the payload is no JSON object"),
        (b"[1,2,3]", "the payload is no JSON object"),
        (json.dumps(GOOD).encode()[:-1], "the payload is no JSON object"),
        (json.dumps(GOOD).encode() + b"x", "the payload is no JSON object"),
        (json.dumps({**GOOD, "flow": "3"}).encode(), "no number at flow"),
        (json.dumps({**GOOD, "voltage": None}).encode(), "no number at voltage"),
        (json.dumps(GOOD).replace("1.0", "1e400").encode(), "no number at accelerometer1"),
        (json.dumps({**GOOD, "pressure": 1e31}).encode(), "out of range: pressure"),
        (json.dumps({key: 1 for key in SENSORS if key != "current"}).encode(), "the reading lacks current"),
    ],
)
def test_a_malformed_reading_fails_with_the_sensors_name_and_leaves_no_trace(bench: Bench, payload: bytes, words: str):
    readings = random_readings(6, 16)
    good = payloads(readings)

    output = bench.guest("pump-features", FEATURES).map(make_batch([*good[:8], payload, *good[8:]]))

    assert output.errors == {8: words}
    assert list(output.rows) == [16]
    assert np.array_equal(as_array(output.payloads), features(readings))


def test_other_keys_nesting_and_the_order_of_keys_do_not_matter(bench: Bench):
    readings = random_readings(7, 16)
    shuffled = [
        json.dumps(
            {"flow": [1, {"flow": 2}], "note": 'a "}', **dict(list(zip(SENSORS, map(float, row), strict=True))[::-1])}
        )
        for row in readings
    ]

    output = bench.guest("pump-features", FEATURES).map(make_batch([text.encode() for text in shuffled]))

    assert np.array_equal(as_array(output.payloads), features(readings))


@settings(max_examples=20, deadline=None)
@given(cut=st.integers(0, 60), seed=st.integers(0, 1000))
def test_a_fresh_instance_goes_on_where_the_saved_one_was(engine, cut: int, seed: int):
    bench = Bench(engine)
    readings = random_readings(seed, 60)
    before, after = bench.guest("pump-features", FEATURES), bench.guest("pump-features", FEATURES)
    head = before.map(make_batch(payloads(readings[:cut]))).payloads
    state = before.save()
    after.restore(state)

    assert after.save() == state
    tail = after.map(make_batch(payloads(readings[cut:]))).payloads
    assert np.array_equal(as_array([*head, *tail]), features(readings))
    bench.close()


@pytest.mark.parametrize("length", [4, 24])
def test_a_window_of_another_length_takes_over_what_it_can(bench: Bench, length: int):
    readings = random_readings(8, 40)
    before = bench.guest("pump-features", FEATURES)
    before.map(make_batch(payloads(readings[:20])))
    after = bench.guest("pump-features", FEATURES, window=str(length))
    after.restore(before.save())

    found = as_array(after.map(make_batch(payloads(readings[20:]))).payloads)

    last = readings[-length:]
    assert len(found) == 20 - max(length - 16 - 1, 0)
    assert np.allclose(found[-1][:8], last.mean(0), rtol=1e-6)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_a_state_that_is_not_its_own_is_refused(engine, data: st.DataObject):
    bench = Bench(engine)
    guest = bench.guest("pump-features", FEATURES)
    guest.map(make_batch(payloads(random_readings(9, 20)), [Head("a"), Head("b")] * 10))
    state = guest.save()
    at = data.draw(st.integers(0, len(state) - 1))
    damaged = state[:at] if data.draw(st.booleans()) else state[:at] + bytes([state[at] ^ 255]) + state[at + 1 :]

    fresh = bench.guest("pump-features", FEATURES)
    try:
        fresh.restore(damaged)
    except GuestTrap as trap:
        refused = trap.detail
    else:  # a damaged reading or time is not told from a sound one, but harms nothing else
        refused = "refused"
        fresh.map(make_batch(payloads(random_readings(9, 20))))
    assert "refused" in refused
    bench.close()


def test_a_full_table_forgets_only_a_topic_that_was_silent_for_an_hour(bench: Bench):
    guest = bench.guest("pump-features", FEATURES, topics="2", window="2")
    (reading,) = payloads(random_readings(10, 1))
    hour = 3_600_000
    heads = [Head("a"), Head("b"), Head("c"), Head("a"), Head("c")]

    output = guest.map(make_batch([reading] * 5, heads, [0, 5, 10, 20, hour + 10]))

    assert output.errors == {2: "more topics than the property `topics` has room for"}
    assert list(output.rows) == [3]


@pytest.mark.parametrize(
    ("given_properties", "words"),
    [
        ({"window": "1"}, "window: a number from 2 to 4096 is needed"),
        ({"window": "many"}, "window: a number from 2 to 4096 is needed"),
        ({"topics": "0"}, "topics: a number from 1 to 65536 is needed"),
        ({"topics": "65536", "window": "4096"}, "no memory for this many topics and this window"),
    ],
)
def test_a_configuration_it_cannot_use_is_refused_in_words(bench: Bench, given_properties: dict[str, str], words: str):
    with pytest.raises(GuestTrap):
        bench.guest("pump-features", FEATURES, **given_properties)

    assert bench.logged == [words]


def test_ten_thousand_batches_take_no_more_memory_than_ten(bench: Bench):
    guest = bench.guest("pump-features", FEATURES)
    batches = [make_batch(payloads(random_readings(seed, 1 + seed % 7))) for seed in range(10)]
    for batch in batches:
        guest.map(batch)
    before = guest.memory_bytes()

    for _ in range(1000):
        for batch in batches:
            guest.map(batch)

    assert guest.memory_bytes() == before
    assert before <= 4 * 65536
