"""Calls of one node that were given up while they slept with the host, and what the node does when they are many."""

from __future__ import annotations

from typing import Any

from flowrt.counters import NodeCounters
from flowrt.errors import GuestTrap, NodeFault
from flowrt.message import Batch, Message
from flowrt.operators.base import Errors, GuestOutput
from flowrt.wasm.component.guest import ComponentGuest
from flowrt.wasm.component.hands import Hands
from flowrt.wasm.component.store import Answer, ComponentStore, HostCall

GIVEN_UP_MAX = 4
"""Of one node: each keeps a thread and its instance's memory."""
ALL_MAX = 32
"""Of all nodes together, those included that never came up: a graph that does not start is tried again and again."""
_all: set[Hands] = set()


def full() -> bool:
    """Whether no node may have an instance that could be given up."""
    gone = [hands for hands in tuple(_all) if not hands.thread.is_alive()]
    _all.difference_update(gone)
    return len(_all) >= ALL_MAX


class Absent:
    """The calls of one node that were given up and are not back."""

    def __init__(self, counters: NodeCounters) -> None:
        self._counters = counters
        self._hands: list[Hands] = []
        self._asking: set[ComponentStore] = set()

    def watched(self, call: HostCall) -> HostCall:
        """A host function by which a call is not asleep, and that ends one which was given up: another instance has its
        place."""
        answer: Answer = call.call
        asking = self._asking

        def checked(store: ComponentStore, arguments: list[bytes]) -> bytes | None:
            if store.broken:
                raise GuestTrap("deadline", "the call was given up before")
            asking.add(store)
            try:
                return answer(store, arguments)
            finally:
                asking.discard(store)

        return HostCall(call.interface, call.name, checked)

    def asks(self, guest: ComponentGuest) -> bool:
        """Whether the call under way is with the host, for a model perhaps, and will be back."""
        return guest.store in self._asking

    def __len__(self) -> int:
        self._hands = [hands for hands in self._hands if hands.thread.is_alive()]
        return len(self._hands)

    def add(self, hands: Hands) -> None:
        self._counters.given_up += 1
        self._hands.append(hands)
        _all.add(hands)

    def memory_bytes(self) -> int:
        """What their instances hold; safe to ask from any thread."""
        return sum(hands.guest.memory_bytes() for hands in list(self._hands) if hands.guest is not None)


class Resting:
    """Stands for the guest of a node that can have no other, for what its absent calls keep."""

    def __init__(self, absent: Absent, why: str) -> None:
        self._absent = absent
        self._count = len(absent)
        self._why = why

    def map(self, _batch: Batch) -> GuestOutput:
        raise self._fault()

    def decide(self, _entry: str, _batch: Batch) -> tuple[bytes, Errors]:
        raise self._fault()

    def accumulate(self, _staged: Message, _batch: Batch) -> Message:
        raise self._fault()

    def delay(self, _batch: Batch) -> tuple[Any, Errors]:
        raise self._fault()

    def save(self) -> bytes | None:
        return None

    def restore(self, state: bytes) -> None:
        """Nothing to put it into."""

    def memory_bytes(self) -> int:
        return self._absent.memory_bytes()

    def close(self) -> None:
        """Nothing is open."""

    def _fault(self) -> NodeFault:
        if len(self._absent) < self._count:
            return GuestTrap("disabled", "the node rested while a call slept, which is back: a fresh instance goes on")
        return NodeFault("disabled", f"the node rests: {self._why}; isolation: process can end such calls")
