"""The state of an operator that takes the place of another: windows go on where they were."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from flowrt.operators.base import Operator


@runtime_checkable
class Stateful(Protocol):
    """An operator whose state can be carried to another of its kind."""

    @property
    def state(self) -> bytes | None:
        """As of the last good batch; None when it keeps none. Safe from any thread."""

    def resume(self, state: bytes) -> None:
        """Go on from a state. Raises `NodeFault` when it is refused."""


def unwrapped(operator: Operator) -> Operator:
    """The operator whose state is the node's, where others stand around it."""
    while (inner := getattr(operator, "inner", None)) is not None:
        operator = inner
    return operator


def state_of(operator: Operator) -> bytes | None:
    """What an operator would leave to another."""
    return operator.state if isinstance(operator, Stateful) else None


def hand_over(old: Operator, new: Operator) -> bool:
    """Give the state of one operator to another. Whether there was one to give and one to take it.

    Raises `NodeFault` when the other refuses it.
    """
    state = state_of(old)
    if state is None or not isinstance(new, Stateful) or new.state is None:
        return False
    new.resume(state)
    return True
