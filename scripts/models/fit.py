"""A classifier in numpy: softmax over one or two dense layers, trained with Adam (Kingma and Ba, 2015)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

Layers = list[tuple[Any, Any]]


def fit(
    rows: Any, labels: Any, classes: int, hidden: Sequence[int] = (), *, epochs: int = 60, rate: float = 5e-3,
    decay: float = 1e-4, seed: int = 7,
) -> Layers:  # fmt: skip
    """Weights f64[in, out] and biases of each layer for f64[n, in] and labels i64[n]; tanh between layers."""
    random = np.random.RandomState(seed)
    sizes = [rows.shape[1], *hidden, classes]
    layers = [(random.uniform(-1, 1, (a, b)) * np.sqrt(6 / (a + b)), np.zeros(b)) for a, b in pairwise(sizes)]
    flat = [array for layer in layers for array in layer]
    moments = [[np.zeros_like(array) for array in flat] for _ in range(2)]
    step, batch = 0, 64
    steps = epochs * (len(rows) // batch)
    for _ in range(epochs):
        order = random.permutation(len(rows))
        for start in range(0, len(rows) - batch + 1, batch):
            picked = order[start : start + batch]
            step += 1
            now = rate * 0.5 * (1 + np.cos(np.pi * step / steps))
            slopes = _slopes(layers, rows[picked], labels[picked], decay)
            for array, slope, first, second in zip(flat, slopes, *moments, strict=True):
                first += 0.1 * (slope - first)
                second += 0.001 * (slope**2 - second)
                array -= now * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return layers


def forward(layers: Layers, rows: Any) -> list[Any]:
    """The rows and what each layer makes of them; the last are logits."""
    values = [rows]
    for number, (weights, bias) in enumerate(layers, 1):
        linear = values[-1] @ weights + bias
        values.append(np.tanh(linear) if number < len(layers) else linear)
    return values


def accuracy(layers: Layers, rows: Any, labels: Any) -> float:
    return float(np.mean(forward(layers, rows)[-1].argmax(axis=1) == labels))


def _slopes(layers: Layers, rows: Any, labels: Any, decay: float) -> list[Any]:
    values = forward(layers, rows)
    scores = np.exp(values[-1] - values[-1].max(axis=1, keepdims=True))
    slope = scores / scores.sum(axis=1, keepdims=True)
    slope[np.arange(len(labels)), labels] -= 1
    slope /= len(labels)
    found: list[Any] = []
    for number in reversed(range(len(layers))):
        weights = layers[number][0]
        found[:0] = [values[number].T @ slope + decay * weights, slope.sum(axis=0)]
        slope = (slope @ weights.T) * (1 - values[number] ** 2)
    return found
