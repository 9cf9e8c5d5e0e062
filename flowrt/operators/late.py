"""Messages whose time has passed: one policy for every operation that keeps time."""

from __future__ import annotations

from typing import Literal

from flowrt.errors import NodeFault
from flowrt.logicaltime.stamps import milliseconds

Late = Literal["advance", "refuse"]
"""`advance`: it counts as of the earliest time that is still open. `refuse`: it goes where `onError` says."""


def refused(time: int, open_from: int) -> NodeFault:
    """The fault of a message that is late and not to be advanced."""
    behind = milliseconds(open_from) - milliseconds(time)
    return NodeFault("late", f"the message came {behind} ms after its time had passed")
