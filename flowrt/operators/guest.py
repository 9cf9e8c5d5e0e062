"""One node's guest: the present instance, and the state a fresh one is given after a trap."""

from __future__ import annotations

from flowrt.operators.base import Guest, GuestFactory

REFUSALS_MAX = 3
"""Instances that are offered a saved state; one may have failed for another reason, such as a busy machine."""


class GuestSlot:
    """Holds the instance. State is saved after every good batch, so that a restart begins where the last one ended."""

    def __init__(self, factory: GuestFactory) -> None:
        self._factory = factory
        self.guest: Guest = factory()
        self._state = self.guest.save()
        self._stateful = self._state is not None
        self._refusals = 0

    def checkpoint(self) -> None:
        """Keep the state as of now. Costs a call and a copy, only for modules that export `flowrt_save`."""
        if self._stateful:
            self._state = self.guest.save()
            self._refusals = 0

    def restart(self) -> None:
        """A fresh instance with the last state. Raises `GuestTrap` when it does not come up. After `REFUSALS_MAX`
        instances in a row that did not take the state the next one begins empty: a node must not stand still for ever.
        """
        self.guest.close()
        self.guest = self._factory()
        if self._state is None or self._refusals == REFUSALS_MAX:
            return
        self._refusals += 1
        self.guest.restore(self._state)
        self._refusals = 0

    @property
    def state(self) -> bytes | None:
        """The state as of the last good batch; None for a module that keeps none."""
        return self._state

    def resume(self, state: bytes) -> None:
        """Begin with a state that was kept elsewhere. Raises `GuestTrap` when it is refused."""
        self._state = state
        self.guest.restore(state)

    def memory_bytes(self) -> int:
        return self.guest.memory_bytes() + len(self._state or b"")

    def close(self) -> None:
        self.guest.close()
