"""`branch`: a module decides which of two arms a message takes: false the arm "False", true the arm "True"."""

from __future__ import annotations

from typing import Literal

from flowrt.message import Batch
from flowrt.operators.base import Emission
from flowrt.operators.decide import NOT, DecidingOperator
from flowrt.operators.guest_config import GuestOperation


class BranchOperation(GuestOperation):
    """Sends each message down one of two arms, as a module's `branch` says."""

    operation_type: Literal["branch"]


class BranchOperator(DecidingOperator):
    """Runs a guest's `branch`."""

    entry = "branch"

    def process(self, batch: Batch) -> Emission:
        verdict, rows, faults = self.verdicts(batch)
        true = verdict.count(1)
        if true == 0:
            return Emission((rows if verdict else None, None), faults=faults)
        if true == len(verdict):
            return Emission((None, rows), faults=faults)
        return Emission((rows.select(verdict.translate(NOT)), rows.select(verdict)), faults=faults)
