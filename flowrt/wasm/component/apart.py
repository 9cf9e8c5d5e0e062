"""A component that can sleep with the engine works on a thread apart, so that its node can go on without it.

The engine ends a call where the guest's own code runs. One that blocks in WASI (`poll`, a read of a socket) runs none,
and nobody can end it there. Its node waits as long as the call may take, and for what a busy machine adds; then it
gives the call up: the message is the node's fault as any that passes its deadline, a fresh instance on a fresh thread
goes on, and the old ones stay, their memory charged, until the call comes back. Of such calls a node may have a few;
then it rests, and its messages go where `onError` says, until one of them is back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from time import monotonic
from typing import Any, Literal, TypeVar, cast

from flowrt.endpoints.base import Stopped
from flowrt.errors import GuestTrap
from flowrt.message import Batch, Message
from flowrt.operators.base import Errors, Guest, GuestOutput
from flowrt.quota.meter import Meter
from flowrt.wasm.component.absent import ALL_MAX, GIVEN_UP_MAX, Absent, Resting, full
from flowrt.wasm.component.guest import ComponentGuest
from flowrt.wasm.component.hands import Hands

_SLEEPING = frozenset(
    {
        "poll",
        "[method]pollable.block",
        "[method]input-stream.blocking-read",
        "[method]input-stream.blocking-skip",
        "[method]output-stream.blocking-splice",
        "[method]descriptor.open-at",  # of a pipe
    }
)
"""Functions of WASI that may not come back for a long time."""
_START = 5.0
"""Seconds that an instance has to come up, besides what its two calls may take."""
_STOP = 0.5
"""Seconds that a call has to end once its graph does not wait for it any more."""
_T = TypeVar("_T")


def sleeps(imported: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether a component with these imports can sleep with the engine."""
    return any(name.startswith("wasi:") and not _SLEEPING.isdisjoint(functions) for name, functions in imported.items())


class GuestApart:
    """Implements `operators.base.Guest` by one whose calls are made on another thread."""

    def __init__(
        self, make: Callable[[], ComponentGuest], absent: Absent, deadline: float, meter: Meter | None = None
    ) -> None:
        """Raises `GuestTrap` when the guest does not come up."""
        self._absent = absent
        self._deadline = deadline
        self._meter = meter
        self._stopping = float("inf")
        self._hands = hands = Hands(meter)
        # One call to make the instance and one of its `init`, and four deadlines each on a machine that is overloaded.
        until = monotonic() + 8 * deadline + _START

        def lost() -> BaseException | None:
            return self._too_long(_START) if monotonic() > until else None

        def begin() -> None:
            hands.guest = make()

        try:
            self._do(begin, lost)
        except BaseException:
            if not hands.given_up:
                hands.end()
            raise

    @property
    def _guest(self) -> ComponentGuest:
        return cast("ComponentGuest", self._hands.guest)

    def map(self, batch: Batch) -> GuestOutput:
        return self._do(partial(self._guest.map, batch), self._lost)

    def decide(self, entry: Literal["filter", "branch"], batch: Batch) -> tuple[bytes, Errors]:
        return self._do(partial(self._guest.decide, entry, batch), self._lost)

    def accumulate(self, staged: Message, batch: Batch) -> Message:
        return self._do(partial(self._guest.accumulate, staged, batch), self._lost)

    def delay(self, batch: Batch) -> tuple[Any, Errors]:
        return self._do(partial(self._guest.delay, batch), self._lost)

    def save(self) -> bytes | None:
        return self._guest.save()

    def restore(self, state: bytes) -> None:
        self._guest.restore(state)

    def memory_bytes(self) -> int:
        return self._guest.memory_bytes() + self._absent.memory_bytes()

    def close(self) -> None:
        """One that was given up closes itself when its call is back. Safe to call twice."""
        if self._hands.given_up or not self._hands.thread.is_alive():
            return
        with suppress(GuestTrap, Stopped):
            self._do(self._guest.close, lambda: None)
        self._hands.end()

    def _do(self, work: Callable[[], _T], lost: Callable[[], BaseException | None]) -> _T:
        try:
            return self._hands.do(work, lost)
        except BaseException:
            if self._hands.given_up:
                self._absent.add(self._hands)
                if self._hands.guest is not None:
                    self._hands.guest.leave()
            raise

    def _lost(self) -> BaseException | None:
        """Why the call under way is to be given up, or None."""
        if self._meter is not None and self._meter.stopped():
            self._stopping = min(self._stopping, monotonic() + _STOP)
            if monotonic() > self._stopping:
                return Stopped()
        beyond = self._guest.asleep()
        if beyond is None or self._absent.asks(self._guest) or (self._meter is not None and self._meter.in_debt()):
            return None
        return self._too_long(beyond)

    def _too_long(self, seconds: float) -> GuestTrap:
        words = (
            f"a call took longer than {self._deadline:g} s and has not come back after {seconds:.1f} s: it sleeps with "
            f"the host, where nobody can end it, and is given up ({len(self._absent) + 1} of {GIVEN_UP_MAX})"
        )
        return GuestTrap("deadline", words)


def guest_or_rest(make: Callable[[], ComponentGuest], absent: Absent, deadline: float, meter: Meter | None) -> Guest:
    """A guest on a thread of its own, or one that rests, where too many calls are absent or keep its memory."""
    count = len(absent)
    if count >= GIVEN_UP_MAX:
        return Resting(absent, f"{count} calls of it sleep with the host and were given up")
    if full():
        why = f"{ALL_MAX} calls of this process sleep with the host and were given up"
        if count:
            return Resting(absent, why)
        raise GuestTrap("init", f"no component that can sleep is started: {why}")
    try:
        return GuestApart(make, absent, deadline, meter)
    except RuntimeError:  # a process that may have no more threads: who confined it ends such calls
        return make()
    except GuestTrap as trap:
        if not count or trap.kind != "memory":
            raise
        return Resting(absent, f"{count} calls that were given up keep memory that it needs")
