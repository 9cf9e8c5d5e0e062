"""What lies on a conveyor belt: drawn pictures, and a small convolutional network that tells them apart.

Three convolutions with filters that are drawn once and not trained, then one dense layer on their mean and largest
answers, which is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime

from scripts.models.fit import accuracy, fit
from scripts.models.onnx_graph import Graph

LABELS = ("empty", "box", "can", "damaged")
SIZE = 64
_FILTERS = ((12, 3, 5), (24, 12, 3), (48, 24, 3))
_TRAIN, _TEST = 6000, 1000


def picture(random: np.random.RandomState, label: int, size: int = SIZE) -> Any:
    """u8[size, size, 3]: a grey belt, and a box, a can or a box with a hole on it."""
    y, x = np.mgrid[0:size, 0:size] / size
    light = random.uniform(0.6, 1.2)
    belt = random.uniform(70, 130) + 12 * np.sin(2 * np.pi * (x * random.uniform(2, 6) + random.uniform()))
    image = np.repeat((belt + 25 * (y - 0.5) * random.uniform(-1, 1))[..., None], 3, axis=2)
    if label:
        angle, cx, cy = random.uniform(0, np.pi), random.uniform(0.38, 0.62), random.uniform(0.38, 0.62)
        u = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle)
        v = (y - cy) * np.cos(angle) - (x - cx) * np.sin(angle)
        wide, high = random.uniform(0.2, 0.3), random.uniform(0.15, 0.25)
        if LABELS[label] == "can":
            radius = np.hypot(u, v) / random.uniform(0.16, 0.26)
            image[radius < 1] = np.array([190, 195, 200]) * random.uniform(0.8, 1.15)
            image[np.abs(radius - 0.82) < 0.06] = np.array([120, 125, 130])
        else:
            inside = (np.abs(u) < wide) & (np.abs(v) < high)
            image[inside] = np.array([165, 120, 70]) * random.uniform(0.8, 1.15)
            image[inside & (np.abs(v) < 0.02)] = np.array([205, 180, 130])
            if LABELS[label] == "damaged":
                hu, hv = random.uniform(-0.5, 0.5) * wide, random.uniform(-0.5, 0.5) * high
                turn = np.arctan2(v - hv, u - hu)
                ragged = 0.085 * (1 + 0.35 * np.sin(5 * turn + random.uniform(0, 6)))
                image[inside & (np.hypot(u - hu, v - hv) < ragged)] = np.array([35, 25, 20])
    return np.clip(image * light + random.normal(0, 5, image.shape), 0, 255).astype(np.uint8)


def pictures(seed: int, count: int) -> tuple[Any, Any]:
    """u8[count, size, size, 3] and their labels."""
    random = np.random.RandomState(seed)
    labels = random.randint(0, len(LABELS), count)
    return np.stack([picture(random, label) for label in labels]), labels


def planes(images: Any) -> Any:
    """As the module camera-frame makes them: f32[n, 3, size, size] from -1 to 1."""
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2), "f4") * np.float32(1 / 127.5) - np.float32(1)


def make() -> tuple[bytes, float]:
    graph = _filters()
    engine = onnxruntime.InferenceSession(_file(graph, {"features": 2 * _FILTERS[-1][0]}))

    def features(images: Any) -> Any:
        return np.concatenate([engine.run(None, {"image": planes(part)})[0] for part in np.array_split(images, 20)])

    (train, labels), (test, wanted) = pictures(1, _TRAIN), pictures(2, _TEST)
    rows, checked = features(train).astype(float), features(test).astype(float)
    mean, scale = rows.mean(axis=0), rows.std(axis=0) + 1e-6
    layers = fit((rows - mean) / scale, labels, len(LABELS), hidden=(32,))
    found = accuracy(layers, (checked - mean) / scale, wanted)
    weights, bias = layers[0]
    layers[0] = (weights / scale[:, None], bias - (mean / scale) @ weights)
    graph.dense(layers, "features")
    return _file(graph, {"scores": len(LABELS)}), found


def untrained(side: int) -> bytes:
    """The same network for another size, for what it costs."""
    graph, count = _filters(), 2 * _FILTERS[-1][0]
    random = np.random.RandomState(4)
    graph.dense([(random.normal(size=(count, len(LABELS))) / count, np.zeros(len(LABELS)))], "features")
    return _file(graph, {"scores": len(LABELS)}, side)


def _filters() -> Graph:
    graph, random, value = Graph(), np.random.RandomState(3), "image"
    for number, (out, into, side) in enumerate(_FILTERS, 1):
        filters = random.normal(0, np.sqrt(2 / (into * side * side)), (out, into, side, side))
        if number == 1:
            filters -= filters.mean(axis=(2, 3), keepdims=True) * (np.arange(out) % 3 > 0)[:, None, None, None]
        graph.constants[f"filters_{number}"] = filters.astype("f4")
        pads = [side // 2] * 4
        value = graph.add("Conv", f"{value} filters_{number}", f"conv_{number}", strides=[2, 2], pads=pads)
        value = graph.add("Relu", value, f"relu_{number}")
    graph.add("GlobalAveragePool", value, "means")
    graph.add("GlobalMaxPool", value, "peaks")
    graph.add("Concat", "means peaks", "both", axis=1)
    graph.add("Flatten", "both", "features", axis=1)
    return graph


def _file(graph: Graph, outputs: dict[str, int], side: int = SIZE) -> bytes:
    image = (onnx.TensorProto.FLOAT, ["batch", 3, side, side])
    return graph.file("camera-class", "What lies on a belt; trained on drawn pictures", {"image": image}, outputs)
