"""What runs a `transform`: its rules on every message of a batch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import compress
from typing import TypeVar

from flowrt.errors import NodeFault
from flowrt.message import Batch, Head
from flowrt.operators.base import Emission, Fault
from flowrt.transforms.deciding import BranchTransform, FilterTransform
from flowrt.transforms.mapping import MapTransform
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
        self._apply = transform.apply

    def process(self, batch: Batch) -> Emission:
        made, rows, faults = _each(batch, self._apply)
        if not made:
            return Emission((None,), faults=faults)
        payloads, heads = zip(*made, strict=True)
        return Emission((rows.with_payloads(payloads, heads),), faults=faults)


class FilterRulesOperator(RulesOperator):
    """Drops what the rules of a filter are true for."""

    def __init__(self, transform: FilterTransform) -> None:
        self._drops = transform.drops

    def process(self, batch: Batch) -> Emission:
        drops, rows, faults = _each(batch, self._drops)
        return _split(rows, drops, faults)


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
        self._arm = transform.arm

    def process(self, batch: Batch) -> Emission:
        arms, rows, faults = _each(batch, self._arm)
        if not any(arms):
            return Emission((rows if arms else None, None), faults=faults)
        if all(arms):
            return Emission((None, rows), faults=faults)
        return Emission((rows.select([not arm for arm in arms]), rows.select(arms)), faults=faults)


def _each(batch: Batch, work: Callable[[bytes, Head], Result]) -> tuple[list[Result], Batch, list[Fault]]:
    """What each row gave, the rows that gave something, and the faults of the others."""
    results: list[Result] = []
    faults: list[Fault] = []
    failed: set[int] = set()
    for row, (payload, head) in enumerate(zip(batch.payloads, batch.heads, strict=True)):
        try:
            results.append(work(payload, head))
        except NodeFault as fault:
            faults.append(Fault(batch.slice(row, row + 1), fault))
            failed.add(row)
    rows = batch.select([row not in failed for row in range(len(batch))]) if failed else batch
    return results, rows, faults


def _split(rows: Batch, drops: Sequence[bool], faults: Sequence[Fault]) -> Emission:
    """Rows that are dropped, and those that pass."""
    if not any(drops):
        return Emission((rows if drops else None,), faults=faults)
    filtered = list(compress(rows.seqs, drops))
    passing = None if all(drops) else rows.select([not drop for drop in drops])
    return Emission((passing,), filtered, faults)
