"""The features in numpy, against the definition written with the standard library."""

import statistics

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.demo.features import FEATURES, FILLING, WINDOW, features
from flowrt.demo.simulator import SENSORS


def test_a_window_that_fills_yields_nothing():
    for count in (0, 1, FILLING):
        assert features(np.zeros((count, len(SENSORS)))).shape == (0, FEATURES)
    assert features(np.zeros((WINDOW, len(SENSORS)))).shape == (1, FEATURES)


@settings(max_examples=25)
@given(st.integers(WINDOW, 40), st.integers(0, 2**32 - 1))
def test_every_row_is_mean_deviation_and_distance_of_the_last_16_readings(count: int, seed: int):
    readings = np.random.RandomState(seed).uniform(-1e3, 1e3, (count, len(SENSORS)))
    rows = features(readings)
    assert rows.shape == (count - FILLING, FEATURES)
    assert rows.dtype == np.float32
    for row in (0, len(rows) - 1):
        window = readings[row : row + WINDOW].T.tolist()
        means = [statistics.fmean(sensor) for sensor in window]
        wanted = [
            *means,
            *(statistics.pstdev(sensor) for sensor in window),
            *(sensor[-1] - mean for sensor, mean in zip(window, means, strict=True)),
        ]
        np.testing.assert_allclose(rows[row], wanted, rtol=1e-6, atol=1e-4)
