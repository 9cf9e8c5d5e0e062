"""A small autoencoder in numpy: it learns to give back the features of a healthy pump, and fails on others.

24 features are standardised and clipped, squeezed through 16 and 6 tanh units and blown up again. How far what comes
out is from what went in is the error; its mean square over the features, in parts of the error that 99.5 % of
the validation rows stay under, is the score: 1.0 is the edge of what a healthy pump does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from flowrt.values import Struct

Rows = NDArray[np.float64]

HIDDEN = (16, 6, 16)
CLIP = 30.0
"""Standardised features are cut off at so many standard deviations: further off is not more wrong, and a model that
never sees a larger number keeps its precision."""
QUANTILE = 0.995
"""The share of the validation rows with a score under 1.0."""

_BATCH, _RATE, _DECAY_1, _DECAY_2, _EPSILON = 128, 4e-3, 0.9, 0.999, 1e-8
_BLOCK_MIN, _BLOCK_MAX, _VALIDATED = 20, 200, 5
"""Neighbouring rows share most of their window, so validation takes whole blocks of rows, one block in so many."""
_ROWS_MIN = 2 * _BLOCK_MIN * _VALIDATED


class Autoencoder(Struct, frozen=True):
    """A trained model. `layers` are weights f64[in, out] and biases f64[out], in order."""

    mean: Rows
    scale: Rows
    layers: tuple[tuple[Rows, Rows], ...]
    unit: float
    """The mean squared error that counts as score 1.0."""

    def scores(self, features: NDArray[np.float32]) -> Rows:
        """Score of each of f32[n, features]: f64[n]."""
        scores: Rows = np.mean(self.squares(features), axis=1) / self.unit
        return scores

    def squares(self, features: NDArray[np.float32]) -> Rows:
        """Squared error of each feature, standardised: f64[n, features]."""
        wanted = np.clip((features.astype(np.float64) - self.mean) / self.scale, -CLIP, CLIP)
        return (_forward(self.layers, wanted)[-1] - wanted) ** 2


class Epoch(Struct, frozen=True):
    """How far the training is. Losses are mean squared errors of standardised features."""

    number: int
    of: int
    loss: float
    validation: float


def train(features: NDArray[np.float32], seed: int, epochs: int, progress: Callable[[Epoch], None]) -> Autoencoder:
    """Fit an autoencoder to f32[n, features] of healthy operation. Equal arguments give equal models.

    Raises ValueError for fewer than 200 rows: there is nothing to validate on.
    """
    if len(features) < _ROWS_MIN:
        raise ValueError(f"{len(features)} rows are too few to train on; {_ROWS_MIN} are the least")
    rows = features.astype(np.float64)
    block = min(max(len(rows) // _BLOCK_MIN, _BLOCK_MIN), _BLOCK_MAX)
    validated = np.arange(len(rows)) // block % _VALIDATED == _VALIDATED - 1
    mean = rows[~validated].mean(axis=0)
    scale = np.maximum(rows[~validated].std(axis=0), 1e-9 + 1e-6 * np.abs(mean))
    standard = np.clip((rows - mean) / scale, -CLIP, CLIP)
    # RandomState, not default_rng: its stream is frozen, so that a seed means the same model in ten years.
    random = np.random.RandomState(seed)
    layers = _start(random, rows.shape[1])
    for number, loss in enumerate(_epochs(layers, standard[~validated], random, epochs), 1):
        checked = float(np.mean((_forward(layers, standard[validated])[-1] - standard[validated]) ** 2))
        progress(Epoch(number, epochs, loss, checked))
    model = Autoencoder(mean, scale, tuple(layers), 1.0)
    unit = float(np.quantile(model.scores(features[validated]), QUANTILE))
    return Autoencoder(mean, scale, tuple(layers), unit)


def _start(random: np.random.RandomState, width: int) -> list[tuple[Rows, Rows]]:
    """Weights to begin with, after Glorot and Bengio (2010), and no bias."""
    sizes = (width, *HIDDEN, width)
    return [
        (random.uniform(-1, 1, (fan_in, fan_out)) * np.sqrt(6 / (fan_in + fan_out)), np.zeros(fan_out))
        for fan_in, fan_out in pairwise(sizes)
    ]


def _forward(layers: tuple[tuple[Rows, Rows], ...] | list[tuple[Rows, Rows]], rows: Rows) -> list[Rows]:
    """The rows and what each layer makes of them; all but the last go through tanh."""
    values = [rows]
    for number, (weights, bias) in enumerate(layers, 1):
        linear = values[-1] @ weights + bias
        values.append(np.tanh(linear) if number < len(layers) else linear)
    return values


def _gradients(layers: list[tuple[Rows, Rows]], rows: Rows) -> tuple[list[Rows], float]:
    """Gradients of the mean squared error, weights and bias of each layer in turn, and the error itself."""
    values = _forward(layers, rows)
    away = values[-1] - rows
    slope = 2 * away / away.size
    gradients: list[Rows] = []
    for number in reversed(range(len(layers))):
        gradients[:0] = [values[number].T @ slope, slope.sum(axis=0)]
        slope = (slope @ layers[number][0].T) * (1 - values[number] ** 2)
    return gradients, float(np.mean(away**2))


def _epochs(layers: list[tuple[Rows, Rows]], rows: Rows, random: np.random.RandomState, epochs: int) -> Iterator[float]:
    """Adam (Kingma and Ba, 2015) over shuffled batches, the rate falling to nothing along a cosine.

    Changes the arrays in `layers`; yields the mean loss of each epoch.
    """
    parameters = [array for layer in layers for array in layer]
    first, second = ([np.zeros_like(array) for array in parameters] for _ in range(2))
    steps = epochs * (len(rows) // _BATCH)
    step = 0
    for _ in range(epochs):
        losses = []
        order = random.permutation(len(rows))
        for start in range(0, len(rows) - _BATCH + 1, _BATCH):
            gradients, loss = _gradients(layers, rows[order[start : start + _BATCH]])
            losses.append(loss)
            rate = _RATE * 0.5 * (1 + np.cos(np.pi * step / steps))
            step += 1
            for array, gradient, mean, square in zip(parameters, gradients, first, second, strict=True):
                mean += (1 - _DECAY_1) * (gradient - mean)
                square += (1 - _DECAY_2) * (gradient**2 - square)
                unbiased = mean / (1 - _DECAY_1**step)
                array -= rate * unbiased / (np.sqrt(square / (1 - _DECAY_2**step)) + _EPSILON)
        yield float(np.mean(losses))
