"""`delay`: advances a message's logical time.

Loaded and checked as AIO writes it. This version does not run it yet: `flowrt check` says so, with the code
`unsupported-operation`.
"""

from __future__ import annotations

from typing import Literal

from flowrt.operators.guest_config import GuestOperation


class DelayOperation(GuestOperation):
    """Advances a message's logical time."""

    operation_type: Literal["delay"]
