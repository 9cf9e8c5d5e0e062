"""A model with a declared fallback: what runs instead while this machine lacks the engine, the memory or the time.

Nothing of it is silent: each row that ran elsewhere is counted under its reason, and each change is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Literal

from flowrt.errors import NodeFault
from flowrt.message import Tensor
from flowrt.nn.faults import ModelFault
from flowrt.operators.base import Model

Reason = Literal["engine", "memory", "time"]
PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds that a slow model rests: the first time, and at most."""


class FallbackModel:
    """Two models for one node. One thread at a time."""

    def __init__(
        self,
        primary: Model | None,
        secondary: Model,
        *,
        lacking: Reason | None = None,
        after: float | None = None,
        report: Callable[[str], None],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`primary` is None where this machine lacks what `lacking` says; `after` bounds a run of it in seconds."""
        shape = primary or secondary
        self.inputs: tuple[Tensor, ...] = shape.inputs
        self.outputs: tuple[Tensor, ...] = shape.outputs
        self.row_outputs: tuple[Tensor, ...] = shape.row_outputs
        self._counts: dict[str, int] = {}
        self.fallbacks: Mapping[str, int] = self._counts
        self._primary, self._secondary = primary, secondary
        self._lacking: Reason | None = lacking
        self._after = after
        self._report = report
        self._clock = clock
        self._until = 0.0
        self._pause = 0.0

    def run_rows(self, payloads: Sequence[bytes]) -> Sequence[bytes]:
        if self._primary is None:
            return self._elsewhere(self._lacking or "engine", payloads)
        if self._clock() < self._until:
            try:
                return self._elsewhere("time", payloads)
            except NodeFault as fault:
                self._until = 0.0  # slow is better than not at all
                self._report(f"the fallback failed too, back to the slow model: {fault}")
        return self._here(self._primary, payloads)

    def memory_bytes(self) -> int:
        return sum(model.memory_bytes() for model in (self._primary, self._secondary) if model is not None)

    def close(self) -> None:
        for model in (self._primary, self._secondary):
            if model is not None:
                model.close()

    def _here(self, primary: Model, payloads: Sequence[bytes]) -> Sequence[bytes]:
        began = self._clock()
        try:
            found = primary.run_rows(payloads)
        except ModelFault as fault:
            if fault.code != "too-large":
                raise
            self._report(f"no memory for a run: its fallback takes {len(payloads)} messages: {fault.detail}")
            return self._elsewhere("memory", payloads)
        took = self._clock() - began
        if self._after is None or took <= self._after:
            self._pause = 0.0
        else:
            self._pause = min(2 * self._pause, LONGEST_PAUSE) or PAUSE
            self._until = self._clock() + self._pause
            self._report(
                f"a run took {took:.3f} s, more than {self._after:g} s: its fallback runs for {self._pause:g} s"
            )
        return found

    def _elsewhere(self, reason: Reason, payloads: Sequence[bytes]) -> Sequence[bytes]:
        found = self._secondary.run_rows(payloads)
        self._counts[reason] = self._counts.get(reason, 0) + len(payloads)
        return found


def reason_of(fault: ModelFault) -> Reason | None:
    """What a model that did not load lacks, or None where nothing but the model is to blame."""
    if fault.code == "too-large":
        return "memory"
    return "engine" if fault.code in {"invalid-encoding", "unsupported-operation"} else None


def check_same(primary: Sequence[Tensor], secondary: Sequence[Tensor], label: str, what: str) -> None:
    """Raises `ModelFault` where a fallback takes or makes other tensors than the model it stands for."""
    if [(t.type, t.shape) for t in primary] != [(t.type, t.shape) for t in secondary]:
        one, other = (", ".join(map(str, tensors)).replace("-1", "?") for tensors in (primary, secondary))
        raise ModelFault("invalid-argument", f"model '{label}' {what} {one}, and its fallback {other}")
