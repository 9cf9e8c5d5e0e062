"""A model with a declared fallback: what runs instead while this machine lacks the engine, the memory or the time.

Nothing of it is silent: each row that ran elsewhere is counted under its reason, and each change is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Literal, TypeVar

from flowrt.errors import NodeFault
from flowrt.message import Tensor
from flowrt.nn.backend import Array, AtOnce, Session, Stream
from flowrt.nn.faults import ModelFault
from flowrt.operators.base import Model
from flowrt.operators.inference import FallbackOptions

if TYPE_CHECKING:
    from flowrt.graph.plan import ModelUse

Reason = Literal["engine", "memory", "time"]
_T = TypeVar("_T")
PAUSE, LONGEST_PAUSE = 1.0, 60.0
"""Seconds that a slow model rests: the first time, and at most."""


class Choice:
    """Which of two models runs. One thread at a time."""

    def __init__(
        self,
        after: float | None = None,
        report: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """`after` bounds a run of the model in seconds."""
        self.counts: dict[str, int] = {}
        """Rows that ran elsewhere, by the reason."""
        self.lacking: Reason | None = None
        """What this machine lacks to run the model at all."""
        self._after = after
        self.report = report
        self._clock = clock
        self._until = 0.0
        self._pause = 0.0

    def run(self, here: Callable[[], _T], elsewhere: Callable[[], _T], rows: int) -> _T:
        if self.lacking is not None:
            return self._elsewhere(self.lacking, elsewhere, rows)
        if self._clock() < self._until:
            try:
                return self._elsewhere("time", elsewhere, rows)
            except NodeFault as fault:
                self._until = 0.0  # slow is better than not at all
                self.report(f"the fallback failed too, back to the slow model: {fault}")
        return self._here(here, elsewhere, rows)

    def _here(self, here: Callable[[], _T], elsewhere: Callable[[], _T], rows: int) -> _T:
        began = self._clock()
        try:
            found = here()
        except ModelFault as fault:
            if fault.code != "too-large":
                raise
            self.report(f"no memory for a run: its fallback takes {rows} messages: {fault.detail}")
            return self._elsewhere("memory", elsewhere, rows)
        took = self._clock() - began
        if self._after is None or took <= self._after:
            self._pause = 0.0
        else:
            self._pause = min(2 * self._pause, LONGEST_PAUSE) or PAUSE
            self._until = self._clock() + self._pause
            self.report(
                f"a run took {took:.3f} s, more than {self._after:g} s: its fallback runs for {self._pause:g} s"
            )
        return found

    def _elsewhere(self, reason: Reason, elsewhere: Callable[[], _T], rows: int) -> _T:
        found = elsewhere()
        self.counts[reason] = self.counts.get(reason, 0) + rows
        return found


class FallbackModel:
    """Two models for an `inference` node. One thread at a time."""

    def __init__(self, primary: Model | None, secondary: Model, choice: Choice) -> None:
        """`primary` is None where this machine lacks something to run it."""
        shape = primary or secondary
        self.inputs: tuple[Tensor, ...] = shape.inputs
        self.outputs: tuple[Tensor, ...] = shape.outputs
        self.row_outputs: tuple[Tensor, ...] = shape.row_outputs
        self.even = shape.even and secondary.even
        self.fallbacks: Mapping[str, int] = choice.counts
        self._primary, self._secondary = primary or secondary, secondary
        self._choice = choice

    def run_rows(self, payloads: Sequence[bytes]) -> Sequence[bytes]:
        return self._choice.run(
            lambda: self._primary.run_rows(payloads), lambda: self._secondary.run_rows(payloads), len(payloads)
        )

    def memory_bytes(self) -> int:
        return sum(model.memory_bytes() for model in {self._primary, self._secondary})

    def close(self) -> None:
        self._primary.close()
        self._secondary.close()


class FallbackSession(AtOnce):
    """Two models for a guest, which has one by name: `backend.Session`, of one node. A run counts as one message."""

    trial = False

    def __init__(self, primary: Session | None, secondary: Session, choice: Choice) -> None:
        self._primary, self._secondary = primary or secondary, secondary
        self.label, self.device = self._primary.label, self._primary.device
        self.inputs, self.outputs = self._primary.inputs, self._primary.outputs
        self._choice = choice

    def run(self, arrays: Sequence[Array | None]) -> Sequence[Array]:
        return self._choice.run(lambda: self._primary.run(arrays), lambda: self._secondary.run(arrays), 1)

    def stream(self, arrays: Sequence[Array | None]) -> Stream | None:
        """Of whichever is chosen as the text begins."""
        return self._choice.run(lambda: self._primary.stream(arrays), lambda: self._secondary.stream(arrays), 1)

    def memory_bytes(self) -> int:
        return sum(session.memory_bytes() for session in {self._primary, self._secondary})

    def close(self) -> None:
        """Nothing: both are shared, and given back by their handles."""


def choice_for(use: ModelUse, report: Callable[[str], None]) -> Choice:
    """As the user wrote it."""
    written = use.fallback.options if use.fallback is not None else None
    return Choice(written.after if isinstance(written, FallbackOptions) else None, report)


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
