"""What filter and branch share: a guest's verdict on each row."""

from __future__ import annotations

from typing import Literal

from flowrt.message import Batch
from flowrt.operators.base import Fault, GuestFactory, faults_of
from flowrt.operators.guest import GuestSlot

NOT = bytes.maketrans(b"\x00\x01", b"\x01\x00")
"""Turns verdicts round: `verdict.translate(NOT)`."""


class DecidingOperator:
    """Runs a guest's `filter` or `branch` and sorts the rows."""

    entry: Literal["filter", "branch"]

    def __init__(self, factory: GuestFactory) -> None:
        self._slot = GuestSlot(factory)
        self.restart = self._slot.restart
        self.memory_bytes = self._slot.memory_bytes
        self.close = self._slot.close
        self.resume = self._slot.resume

    @property
    def state(self) -> bytes | None:
        return self._slot.state

    def verdicts(self, batch: Batch) -> tuple[bytes, Batch, tuple[Fault, ...]]:
        """One byte a row that the guest did not refuse, those rows, and the faults of the others."""
        verdict, errors = self._slot.guest.decide(self.entry, batch)
        self._slot.checkpoint()
        if not errors:
            return verdict, batch, ()
        sound = [row not in errors for row in range(len(batch))]
        return (
            bytes(v for v, ok in zip(verdict, sound, strict=True) if ok),
            batch.select(sound),
            faults_of(batch, errors),
        )
