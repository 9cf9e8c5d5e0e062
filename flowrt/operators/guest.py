"""One node's guest: the present instance, and the state a fresh one is given after a trap."""

from __future__ import annotations

from flowrt.operators.base import Guest, GuestFactory


class GuestSlot:
    """Holds the instance. State is saved after every good batch, so that a restart begins where the last one ended."""

    def __init__(self, factory: GuestFactory) -> None:
        self._factory = factory
        self.guest: Guest = factory()
        self._state = self.guest.save()
        self._stateful = self._state is not None

    def checkpoint(self) -> None:
        """Keep the state as of now. Costs a call and a copy, only for modules that export `flowrt_save`."""
        if self._stateful:
            self._state = self.guest.save()

    def restart(self) -> None:
        """A fresh instance with the last state. Raises `GuestTrap` when it does not come up."""
        self.guest.close()
        self.guest = self._factory()
        if self._state is not None:
            self.guest.restore(self._state)

    def memory_bytes(self) -> int:
        return self.guest.memory_bytes()

    def close(self) -> None:
        self.guest.close()
