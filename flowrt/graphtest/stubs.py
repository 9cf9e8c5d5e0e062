"""What stands in for an operation in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from flowrt.errors import NodeFault
from flowrt.graphtest.content import head_of, payload_of
from flowrt.graphtest.model import Content, Stub
from flowrt.graphtest.trial import TrialError
from flowrt.message import Batch
from flowrt.operators.base import Emission, Fault


class StubOperator:
    """Does what a test says. `answer` handles one message; it is given its row and how many came before."""

    def __init__(self, answer: Callable[[Batch, int], Emission]) -> None:
        self._answer = answer
        self._count = 0

    def process(self, batch: Batch) -> Emission:
        from flowrt.runtime.recovery import merged

        emissions = []
        for row in range(len(batch)):
            emissions.append(self._answer(batch.slice(row, row + 1), self._count))
            self._count += 1
        return merged(emissions)

    def restart(self) -> None:
        """It keeps nothing that a fault could spoil."""

    def memory_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing to give back."""


def stub_operator(name: str, kind: str, stub: Stub, folder: Path, *, arms: bool) -> StubOperator:
    """The stand-in of an operation of type `kind`, which has two `arms` or not. Raises `TrialError`."""
    given = [name for name in ("emit", "verdict", "passes", "fail") if getattr(stub, name) is not None]
    if len(given) != 1:
        raise TrialError(f"stub '{name}': give one of emit, verdict, pass and fail, and {len(given)} are given")
    if kind in {"source", "sink"}:
        raise TrialError(f"stub '{name}': it is a {kind}; what enters stands in `in`, and what comes out in `out`")
    if (stub.verdict is not None) != (arms or kind == "filter") and stub.fail is None:
        raise TrialError(f"stub '{name}': a {kind} takes {'verdict' if arms or kind == 'filter' else 'emit or pass'}")
    if stub.verdict is not None:
        return StubOperator(_verdicts(stub.verdict, arms=arms))
    if stub.fail is not None:
        fault = NodeFault("error", stub.fail)
        return StubOperator(lambda row, _: Emission((), faults=(Fault(row, fault),)))
    if stub.emit is not None:
        return StubOperator(_emissions(name, stub.emit, folder))
    if stub.passes:
        return StubOperator(lambda row, _: Emission((row,)))
    return StubOperator(lambda row, _: Emission((None,), filtered=row.seqs))


def _verdicts(verdicts: tuple[bool, ...], *, arms: bool) -> Callable[[Batch, int], Emission]:
    def answer(row: Batch, count: int) -> Emission:
        verdict = verdicts[min(count, len(verdicts) - 1)]
        if arms:
            return Emission((None, row) if verdict else (row, None))
        return Emission((row,)) if verdict else Emission((None,), filtered=row.seqs)

    return answer


def _emissions(name: str, contents: tuple[Content, ...], folder: Path) -> Callable[[Batch, int], Emission]:
    made = []
    for content in contents:
        payload = payload_of(content, folder)
        if payload is None:
            raise TrialError(f"stub '{name}': what it emits has no payload")
        made.append((content, payload))

    def answer(row: Batch, count: int) -> Emission:
        content, payload = made[min(count, len(made) - 1)]
        own, before = head_of(content, content.topic or row.heads[0].topic), row.heads[0]
        head = own.with_(
            content_type=own.content_type or before.content_type,
            properties=own.properties or before.properties,
            timestamp=before.timestamp,
        )
        return Emission((row.with_payloads([payload], [head]),))

    return answer
