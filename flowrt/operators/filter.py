"""`filter`: a module decides which messages pass. True passes, false drops (AIO's built-in filter transform is the
other way round)."""

from __future__ import annotations

from itertools import compress
from typing import Literal

from flowrt.message import Batch
from flowrt.operators.base import Emission
from flowrt.operators.decide import NOT, DecidingOperator
from flowrt.operators.guest_config import GuestOperation


class FilterOperation(GuestOperation):
    """Lets through the messages for which a module's `filter` is true."""

    operation_type: Literal["filter"]


class FilterOperator(DecidingOperator):
    """Runs a guest's `filter`."""

    entry = "filter"

    def process(self, batch: Batch) -> Emission:
        verdict, rows, faults = self.verdicts(batch)
        passed = verdict.count(1)
        if passed == len(verdict):
            return Emission((rows if passed else None,), faults=faults)
        filtered = list(compress(rows.seqs, verdict.translate(NOT)))
        return Emission((rows.select(verdict) if passed else None,), filtered, faults)
