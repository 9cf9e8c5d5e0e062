"""A motor's vibration, computed from what causes it, and a network that tells healthy from three kinds of damage.

The spectrum of a window goes through a logarithm and two dense layers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx

from scripts.models.fit import accuracy, fit
from scripts.models.onnx_graph import Graph

LABELS = ("healthy", "imbalance", "bearing", "looseness")
RATE, WINDOW, HOP, LINES = 2560, 256, 128, 128
"""Samples a second, samples of a window, samples from one window to the next, frequencies of a spectrum."""
_FLOOR = 1e-5
_TRAIN, _TEST = 6000, 1000


def samples(random: np.random.RandomState, label: int, count: int = WINDOW) -> Any:
    """i16[count] of a motor at 20 to 35 turns a second."""
    time = np.arange(count) / RATE
    turns, phase = random.uniform(20, 35), random.uniform(0, 2 * np.pi)
    kind = LABELS[label]
    wave = random.uniform(0.01, 0.03) * np.sin(2 * np.pi * turns * time + phase)
    if kind == "imbalance":
        wave += random.uniform(0.12, 0.3) * np.sin(2 * np.pi * turns * time + phase)
    if kind == "looseness":
        for harmonic in range(2, 9):
            strength = random.uniform(0.04, 0.1) / np.sqrt(harmonic)
            wave += strength * np.sin(2 * np.pi * turns * harmonic * time + random.uniform(0, 6))
    if kind == "bearing":
        knocks = (time * turns * random.uniform(3.4, 3.8) + random.uniform()) % 1 / (turns * 3.6)
        ringing = np.exp(-knocks * 350) * np.sin(2 * np.pi * random.uniform(700, 1000) * knocks)
        wave += random.uniform(0.1, 0.25) * ringing
    wave += random.normal(0, random.uniform(0.004, 0.012), count)
    return np.clip(np.round(wave * 32768), -32768, 32767).astype("<i2")


def spectrum(window: Any) -> Any:
    """As the module vibration-window makes it: f64[128] of i16[256]."""
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)
    return np.abs(np.fft.rfft((window - window.mean()) * hann / 32768))[:LINES] * 2 / WINDOW


def windows(seed: int, count: int) -> tuple[Any, Any]:
    """i16[count, 256] and their labels."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, len(LABELS), count)
    return np.stack([samples(random, label) for label in labels]), labels


def make() -> tuple[bytes, float]:
    (train, labels), (test, wanted) = windows(1, _TRAIN), windows(2, _TEST)
    rows, checked = (np.log(np.stack(list(map(spectrum, part))) + _FLOOR) for part in (train, test))
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    layers = fit((rows - mean) / scale, labels, len(LABELS), hidden=(24,), epochs=30)
    found = accuracy(layers, (checked - mean) / scale, wanted)
    graph = Graph()
    graph.constants |= {
        "floor": np.array(_FLOOR, "f4"), "mean": mean.astype("f4"), "rescale": (1 / scale).astype("f4"),
    }  # fmt: skip
    graph.add("Add", "spectrum floor", "lifted")
    graph.add("Log", "lifted", "levels")
    graph.add("Sub", "levels mean", "centred")
    graph.add("Mul", "centred rescale", "standard")
    graph.dense(layers, "standard")
    note = "What ails a motor, by its vibration; trained on computed vibration"
    inputs = {"spectrum": (onnx.TensorProto.FLOAT, ["batch", LINES])}
    return graph.file("vibration-class", note, inputs, {"scores": len(LABELS)}), found
