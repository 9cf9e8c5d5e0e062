"""The scores of a recording without the runtime: numpy for the features, ONNX Runtime for the model.

What the graph's scores are compared with, so it shares no code with the graph: no guest, no batches, no broker.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flowrt.demo.features import features


def scores(model: bytes, rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Of an ONNX file and f64[n, 8] readings, the score f32 of each reading from the 16th on."""
    import onnxruntime  # half a second that `flowrt demo` need not wait for

    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (score,) = session.run(["score"], {"features": features(rows)})
    return np.asarray(score, np.float32)[:, 0]
