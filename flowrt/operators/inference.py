"""`inference`: the host runs a model on the tensors in the payload, a batch of messages at a time.

A payload holds the model's inputs as raw little-endian bytes, one tensor after the other, without the batch dimension.
The message that comes out holds the model's outputs in the same form.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic
from typing import Annotated, Literal

from flowrt.counters import ModelCounters
from flowrt.errors import NodeFault
from flowrt.message import Batch, Head, Tensor
from flowrt.operators.base import Emission, Fault, Model, Operation
from flowrt.options import Field, Options
from flowrt.quota.quantity import Seconds

_HEADS_MAX = 4096
"""Heads remembered with their tensors; topics beyond it only cost their head anew."""


Dtype = "f16|f32|f64|bf16|u8|i8|u16|i16|u32|i32|u64|i64|bool|string"
TensorText = Annotated[str, Field(pattern=rf"^\s*[^\s:\[\]]+\s*:\s*({Dtype})\s*\[[\w?,\s]*\]\s*$")]
"""A tensor as a user writes it: `x: f32[N, 16]`, a free dimension by a name."""


class OperatorLibrary(Options):
    """A library of native code."""

    path: str = Field(min_length=1, max_length=4096)
    """The shared library, relative to the graph's folder."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """Digest it must have, in hexadecimal."""


class ModelFile(Options):
    """A model: a file, or what an inference server has."""

    path: str = Field(min_length=1)
    """File, relative to the graph's folder, or a server's model by its address: `http://HOST:PORT/MODEL` or
    `grpc://HOST:PORT/MODEL` (`https`, `grpcs` with TLS), where the server speaks the Open Inference Protocol v2."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """Digest the file must have, in hexadecimal."""
    encoding: str | None = None
    """`onnx`, `openvino`, `tensorflowlite`, `pytorch`, `ggml`; unset: told by the file."""
    target: Literal["cpu", "gpu", "tpu", "npu"] = "cpu"
    """Where to run it."""
    inputs: tuple[TensorText, ...] = ()
    """Its input tensors, as `x: f32[N, 16]`, for what does not say them itself: TorchScript, and a server that is not
    there when the graph starts."""
    outputs: tuple[TensorText, ...] = ()
    """Its output tensors, likewise."""
    timeout: Seconds = Field(5.0, gt=0, le=3600)
    """How long to wait for a server's answer."""
    options: dict[str, str | int | float | bool] = Field(default_factory=dict)
    """What the engine is told beside, by its own names; for language models `ctx-size`, `n-predict`, `temp` …"""
    custom_operators: tuple[OperatorLibrary, ...] = Field((), max_length=16)
    """Libraries of operators that the model uses beside its engine's own: for ONNX models, custom operator libraries
    of ONNX Runtime. They are native code, which no sandbox holds, so whoever runs the model needs
    `isolation: process`."""

    @property
    def key(self) -> str:
        """The path, and how the file is to be read where that is said: `graph.facts.Named`."""
        said = [self.encoding, *self.inputs, "->", *self.outputs] if self.inputs or self.outputs else [self.encoding]
        return f"{self.path} as {said}" if any(said) else self.path


class FallbackOptions(ModelFile):
    """What takes a model's place where this machine cannot run it."""

    after: Seconds | None = Field(None, gt=0, le=3600)
    """Also while it runs too slowly: when a run took longer than this, the next ones go to the fallback for a second,
    or for twice as long as the last time, a minute at most. Unset: only where engine or memory lack."""


class ModelOptions(ModelFile):
    """A model, and what to do where this machine cannot run it."""

    fallback: FallbackOptions | None = None
    """What runs instead when the machine lacks the engine, the memory or the time; each use is counted."""


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
    batch: BatchOptions = BatchOptions.by_default()
    """How many messages one run of the model takes."""


class InferenceOperator:
    """Runs a model on batches."""

    def __init__(self, model: Model, batch_max: int) -> None:
        self.counters = ModelCounters()
        self.counters.fallbacks = model.fallbacks
        self._model = model
        self._batch_max = batch_max
        self._outputs = model.row_outputs
        self._even = model.even
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
        out = batch.with_payloads(payloads, self._with_tensors(batch.heads))
        if self._even and 0 < len(payloads) <= self._batch_max:
            out.size = len(payloads) * len(payloads[0])
        return Emission((out,))

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
