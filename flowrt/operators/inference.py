"""`inference`: the host runs a model on the tensors in the payload, a batch of messages at a time.

A payload holds the model's inputs as raw little-endian bytes, one tensor after the other, without the batch dimension.
The message that comes out holds the model's outputs in the same form.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Literal

from pydantic import Field

from flowrt.counters import ModelCounters
from flowrt.errors import NodeFault
from flowrt.message import Batch, Head, Tensor
from flowrt.operators.base import Emission, Fault, Model, Operation
from flowrt.options import Options
from flowrt.quota.quantity import Seconds

_HEADS_MAX = 4096
"""Heads remembered with their tensors; topics beyond it only cost their head anew."""


class ModelOptions(Options):
    """A model file."""

    path: str = Field(min_length=1)
    """File, relative to the graph's folder."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """Digest the file must have, in hexadecimal."""
    encoding: str | None = None
    """`onnx`, `openvino`, `tensorflowlite`, …; unset: told by the file."""
    target: Literal["cpu", "gpu", "tpu", "npu"] = "cpu"
    """Where to run it."""


class BatchOptions(Options):
    """How many messages one run of the model takes."""

    max: int = Field(256, ge=1, le=65536)
    """At most so many. 256: what a stage takes at once; small models cost half as much a message as with 64."""
    wait: Seconds = Field(0.0, ge=0, le=60)
    """How long the first message may wait for others. 0: take what is there."""


class InferenceOperation(Operation):
    """Runs a model."""

    operation_type: Literal["inference"]
    model: str | ModelOptions
    """A model of the graph's `models` by name, or a file."""
    batch: BatchOptions = BatchOptions()
    """How many messages one run of the model takes."""


class InferenceOperator:
    """Runs a model on batches."""

    def __init__(self, model: Model, batch_max: int) -> None:
        self.counters = ModelCounters()
        self._model = model
        self._batch_max = batch_max
        self._outputs = model.row_outputs
        self._heads: dict[Head, Head] = {}
        self.memory_bytes = model.memory_bytes
        self.close = model.close

    def process(self, batch: Batch) -> Emission:
        try:
            payloads = self._run(batch)
        except NodeFault as fault:
            if fault.kind != "shape" or len(batch) == 1:
                raise
            return self._one_by_one(batch)
        return Emission((batch.with_payloads(payloads, self._with_tensors(batch.heads)),))

    def restart(self) -> None:
        """An engine's session keeps no state between runs: nothing to put in place."""

    def _run(self, batch: Batch) -> list[bytes]:
        outputs: list[bytes] = []
        for start in range(0, len(batch), self._batch_max):
            rows = batch.payloads[start : start + self._batch_max]
            began = monotonic()
            outputs += self._model.run_rows(rows)
            self.counters.inference.observe(monotonic() - began)
            self.counters.rows.observe(len(rows))
        return outputs

    def _one_by_one(self, batch: Batch) -> Emission:
        """A payload of the wrong size must not take its neighbours with it."""
        good: list[int] = []
        payloads: list[bytes] = []
        faults: list[Fault] = []
        for row in range(len(batch)):
            try:
                payloads.extend(self._model.run_rows(batch.payloads[row : row + 1]))
                good.append(row)
            except NodeFault as fault:
                faults.append(Fault(batch.slice(row, row + 1), fault))
        if not good:
            return Emission((None,), faults=faults)
        rows = batch.take(good)
        return Emission((rows.with_payloads(payloads, self._with_tensors(rows.heads)),), faults=faults)

    def _with_tensors(self, heads: Sequence[Head]) -> list[Head]:
        known = self._heads
        try:
            return [known[head] for head in heads]
        except KeyError:
            if len(known) > _HEADS_MAX:
                known.clear()
            for head in heads:
                if head not in known:
                    known[head] = with_tensors(head, self._outputs)
            return [known[head] for head in heads]


def with_tensors(head: Head, tensors: tuple[Tensor, ...]) -> Head:
    """The head of a payload that holds these tensors."""
    return head.with_(tensors=tensors, content_type="application/octet-stream")
