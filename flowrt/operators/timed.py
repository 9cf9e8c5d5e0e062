"""Operators that keep messages until their time has come: the contract between them and what drives them.

Whoever drives one (`runtime/timed.py` on threads, `flowrt test` on virtual time) calls `process` for a batch, and
`ready`, `fold`, `folded`, `closed` when the frontier has moved or a batch was kept. What an operator keeps it writes to
its journal, which is put on disk before the messages are acknowledged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from flowrt.message import Batch
from flowrt.operators.base import Emission, Operator
from flowrt.state.journal import Journal


@runtime_checkable
class TimedOperator(Operator, Protocol):
    """An operator with open windows. Times are logical; see `flowrt.logicaltime.stamps`."""

    journal: Journal
    """What changed since it was last put on disk."""

    frontier: int
    """Nothing before it will come any more: what comes nevertheless is late. Set by whoever drives it."""

    def due(self) -> int | None:
        """The smallest frontier at which something will leave; None while nothing is open."""

    def ready(self) -> Batch | None:
        """Kept messages of one logical time that are to be folded now; None when there are none. Calls no guest."""

    def fold(self, batch: Batch) -> Emission:
        """Fold what `ready` gave, or a part of it. Raises as `process` does, and then has had no effect."""

    def folded(self, batch: Batch) -> None:
        """All of what `ready` gave has been folded or has come to another end: it is kept no longer."""

    def closed(self) -> Emission:
        """What leaves because the frontier has passed it, in order of time. Its rows answer for no input; faults are
        windows that gave nothing."""

    def restore(self, entries: Mapping[bytes, bytes]) -> None:
        """Begin with what the journal had put on disk; what left by `frontier` is not to leave again. Raises ValueError
        when it cannot be understood."""

    def take_over(self, entries: Mapping[bytes, bytes], *, whole: bool) -> None:
        """Begin with what an operator of the same kind and other bounds had kept: its messages count anew, in their
        order. Raises ValueError as `restore` does; where it is to be `whole`, also for a message that it does not
        understand, which is a fault otherwise."""

    def begin_again(self) -> None:
        """Forget all that is open, and the journal's changes: as if nothing had come."""

    def windows(self) -> int:
        """How many are open; safe to ask from any thread."""
