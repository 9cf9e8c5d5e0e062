"""What runs a `transform`: its rules on every message of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import TypeVar

from flowrt.errors import NodeFault
from flowrt.message import Batch, Head
from flowrt.operators.base import Emission, Fault
from flowrt.transforms.deciding import BranchTransform, FilterTransform
from flowrt.transforms.inputs import Record
from flowrt.transforms.mapping import MapTransform
from flowrt.transforms.shared import shared
from flowrt.transforms.throttle import ThrottleTransform

Result = TypeVar("Result")


class RulesOperator:
    """What all kinds share."""

    def restart(self) -> None:
        """Nothing to put in place: a rule that fails leaves nothing behind."""

    def memory_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing to give back."""


class MapRulesOperator(RulesOperator):
    """Applies the rules of a map."""

    def __init__(self, transform: MapTransform) -> None:
        self._transform = transform

    def process(self, batch: Batch) -> Emission:
        made, rows, _, faults = _each(batch, self._transform.read, self._transform.make)
        if not made:
            return Emission((None,), faults=faults)
        payloads, heads, documents = zip(*made, strict=True)
        shared.put(payloads, documents)
        return Emission((rows.with_payloads(payloads, heads),), faults=faults)


class FilterRulesOperator(RulesOperator):
    """Drops what the rules of a filter are true for."""

    def __init__(self, transform: FilterTransform) -> None:
        self._transform = transform

    def process(self, batch: Batch) -> Emission:
        drops, rows, documents, faults = _each(batch, self._transform.read, self._transform.drops)
        emission = _split(rows, drops, faults)
        (passing,) = emission.ports
        if self._transform.reads and passing is not None:
            _hand_on(passing, rows, documents, [not drop for drop in drops])
        return emission


class ThrottleOperator(RulesOperator):
    """Lets messages pass only so often. `clock` gives seconds and never goes back."""

    def __init__(self, transform: ThrottleTransform, clock: Callable[[], float]) -> None:
        self._passes = transform.passes
        self._clock = clock

    def process(self, batch: Batch) -> Emission:
        now_ms = self._clock() * 1000
        return _split(batch, [not self._passes(head, now_ms) for head in batch.heads], ())


class BranchRulesOperator(RulesOperator):
    """Chooses each message's arm by the rule of a branch."""

    def __init__(self, transform: BranchTransform) -> None:
        self._transform = transform

    def process(self, batch: Batch) -> Emission:
        arms, rows, documents, faults = _each(batch, self._transform.read, self._transform.arm)
        others = [not arm for arm in arms]
        ports = [_where(rows, keep) for keep in (others, arms)]
        if self._transform.reads:
            for port, keep in zip(ports, (others, arms), strict=True):
                if port is not None:
                    _hand_on(port, rows, documents, keep)
        return Emission(ports, faults=faults)


def _each(
    batch: Batch, read: Callable[[bytes], Record], work: Callable[[Record, Head], Result]
) -> tuple[list[Result], Batch, Sequence[Record], list[Fault]]:
    """What each row gave, the rows that gave something with their documents, and the faults of the others."""
    results: list[Result] = []
    documents: list[Record] = []
    faults: list[Fault] = []
    failed: set[int] = set()
    known = shared.of(batch.payloads)
    for row, (payload, head) in enumerate(zip(batch.payloads, batch.heads, strict=True)):
        try:
            document = read(payload) if known is None else known[row]
            results.append(work(document, head))
        except NodeFault as fault:
            faults.append(Fault(batch.slice(row, row + 1), fault))
            failed.add(row)
        else:
            documents.append(document)
    rows = batch.select([row not in failed for row in range(len(batch))]) if failed else batch
    return results, rows, documents, faults


def _where(rows: Batch, keep: Sequence[bool]) -> Batch | None:
    """The rows to keep: all of them as they are, None for none."""
    if all(keep):
        return rows if keep else None
    return rows.select(keep) if any(keep) else None


def _hand_on(passing: Batch, rows: Batch, documents: Sequence[Record], keep: Sequence[bool]) -> None:
    """Let the next node find the documents of rows that go on as they came."""
    if passing is not rows:
        documents = list(compress(documents, keep))
    elif shared.of(rows.payloads) is not None:
        return
    shared.put(passing.payloads, documents)


def _split(rows: Batch, drops: Sequence[bool], faults: Sequence[Fault]) -> Emission:
    """Rows that are dropped, and those that pass."""
    filtered = list(compress(rows.seqs, drops)) if any(drops) else ()
    return Emission((_where(rows, [not drop for drop in drops]),), filtered, faults)
