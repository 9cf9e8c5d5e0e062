"""LiteRT hands most operators to XNNPACK, which fails in its own name: flowrt asks again without it."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("ai_edge_litert")
import tflite_models as t
from nn_engines import Made

from flowrt.nn.backends import litert, litert_operator
from flowrt.nn.faults import ModelFault

PORTS = [(name, "float32", (-1, 3)) for name in ("a", "b", "sum", "twice")]
CHAIN = [
    ("ADD", ("a", "b"), ("sum",), t.schema.AddOptionsT()),
    ("MUL", ("sum", "sum"), ("twice",), t.schema.MulOptionsT()),
]
ONES, OTHERS = np.ones((2, 3), np.float32), np.ones((3, 3), np.float32)


def test_the_operator_that_failed_is_named_and_not_the_delegate():
    session = Made("tensorflowlite", ".tflite", (t.model(CHAIN, PORTS, ["a", "b"], ["twice"]),)).load()

    with pytest.raises(ModelFault, match=r"operator ADD \(number 0\) failed"):
        session.run([ONES, OTHERS])

    assert session.run([ONES, ONES])[0].tolist() == [[4.0] * 3] * 2  # and goes on


def test_shapes_that_failed_before_are_not_tried_in_a_child_again(monkeypatch):
    asked = []
    monkeypatch.setattr(litert, "failing_operator", lambda *given: asked.append(given) or "operator ADD failed")
    session = Made("tensorflowlite", ".tflite", (t.model(CHAIN, PORTS, ["a", "b"], ["twice"]),)).load()

    for _ in range(3):
        with pytest.raises(ModelFault, match="operator ADD failed"):
            session.run([ONES, OTHERS])

    assert len(asked) == 1


def test_a_process_that_may_start_no_other_names_the_delegate(monkeypatch):
    def confined(*_, **__):
        raise PermissionError

    monkeypatch.setattr(litert_operator.subprocess, "run", confined)
    session = Made("tensorflowlite", ".tflite", (t.model(CHAIN, PORTS, ["a", "b"], ["twice"]),)).load()

    with pytest.raises(ModelFault, match="operator TfLiteXNNPackDelegate"):
        session.run([ONES, OTHERS])
