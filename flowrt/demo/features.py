"""The features of the pump example in numpy: what the guest `pump-features` computes, written a second time.

For each reading, over the window of the last `WINDOW` readings of its topic, itself included: the mean of each of the
eight sensors, then their (population) standard deviations, then how far the last reading is from the mean. Sums are
in float64 and the result is rounded to float32 once, so that it does not matter in which order a computation adds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowrt.demo.simulator import SENSORS

WINDOW = 16
"""Readings in a window. The first `WINDOW - 1` readings of a topic yield no features: their window is filling."""
FILLING = WINDOW - 1
FEATURES = 3 * len(SENSORS)


def features(readings: NDArray[np.float64]) -> NDArray[np.float32]:
    """Of f64[n, 8] readings in order the f32[max(n - 15, 0), 24] features; row i belongs to reading i + 15."""
    rows = max(len(readings) - FILLING, 0)
    if not rows:
        return np.empty((0, FEATURES), np.float32)
    total = np.zeros((rows, len(SENSORS)))
    for offset in range(WINDOW):
        total += readings[offset : offset + rows]
    mean = total / WINDOW
    squares = np.zeros_like(mean)
    for offset in range(WINDOW):
        squares += (readings[offset : offset + rows] - mean) ** 2
    deviation = np.sqrt(squares / WINDOW)
    return np.concatenate([mean, deviation, readings[FILLING:] - mean], axis=1).astype(np.float32)
