"""`accumulate`: folds all messages of one logical time into one.

Loaded and checked as AIO writes it. This version does not run it yet: `flowrt check` says so, with the code
`unsupported-operation`.
"""

from __future__ import annotations

from typing import Literal

from flowrt.operators.guest_config import GuestOperation


class AccumulateOperation(GuestOperation):
    """Folds all messages of one logical time into one."""

    operation_type: Literal["accumulate"]
