"""The deadline of one store's calls, and their share of the processor: what the engine asks when its epoch moves on
(`watch.py`).

A deadline is on the clock, but for time that the call could do nothing with: what it is made to wait for its share, and
what its thread waited for a core that others had, as the kernel counts it. Of the latter a call is given three times
its deadline at most, so that it comes to an end however busy the machine is. A guest that waits in the host, for a
model or by asking the time again and again, waits on its own account. One that sleeps with the engine cannot be ended
there; it is when it wakes, or when it comes back.

A graph that ends and has waited for a call as long as it may has it ended by moving the epoch on: a guest that never
comes back would keep a core busy otherwise, in a program that goes on with other graphs.

A call of a node with a share is looked at after some milliseconds and then again and again: it pays for what it used,
and sleeps in the callback until it may go on. So an endless call keeps its share too. While it has nothing left, it
lets others go first (`quota/priority.py`) and runs for up to 50 ms at a time, or, where it may not do that, for 2 ms: a
neighbour whose core it takes has its turn soon. One that asks the host takes the interpreter's lock from others again
and again, each time for longer than it has it, so each question costs it half a millisecond then.
"""

from __future__ import annotations

import ctypes
from pathlib import Path
from typing import Any

import wasmtime

from flowrt.quota.meter import Meter, never
from flowrt.quota.priority import Priority
from flowrt.wasm import capi
from flowrt.wasm.alarm import Alarm
from flowrt.wasm.watch import Watch

_GRACE = 0.05
"""Seconds an overdue call goes on at most before it is ended."""
_FIRST = 4
"""Calls that last a part of their deadline are looked at, to know from when on their thread waits for a core: a
quarter."""
_PATIENCE = 3
"""Deadlines that a call may wait for a core."""
_ASLEEP = 1.0
"""Seconds beyond that after which a call that was not looked at once has slept with the engine or the host."""
_SCHEDSTAT = Path("/proc/thread-self/schedstat")

_SLICE = 0.002
"""Seconds that a call runs for before it is looked at, and may overdraw its share by."""
_YIELDING = 0.05
"""The same for one that others go before: nobody waits for it, and each look disturbs the others."""
_PERIOD = 0.2
"""Seconds of which it has its share at a time, so that a small share is not late by half a second."""
_PRICE = 0.0005
"""Seconds that a call past its share pays for a question to the host at least. It is what that may cost another thread:
to be woken once more, and a part of a turn of the interpreter."""
_OWN = 0.2
"""The part of that by which its deadline comes nearer: who asks without end would go on for minutes otherwise."""
_LOOK = 0.02
"""Seconds between two looks at a call that has enough left of its share."""


class Deadline:
    """Enter it into `watch.running` with the time now plus `span` around each call into the store."""

    def __init__(self, watch: Watch, store: wasmtime.Store, seconds: float, meter: Meter | None = None) -> None:
        self._meter = meter if meter is not None and meter.bounded else None
        self.span = seconds / _FIRST if self._meter is None else min(seconds / _FIRST, _SLICE)
        """Seconds from a call's begin to the first look at it."""
        self.patience = (1 + _PATIENCE) * seconds + _ASLEEP
        """Seconds after a look that was due within which a call that works has been looked at, or is back."""
        self.metered = self._meter is not None
        """Whether a long call is made to wait in the middle."""
        if self._meter is not None:
            self._meter.adopt()
        self.held = False
        """The call under way is made to wait for its share: `let_go` of it as soon as it is back."""
        self._priority = Priority()
        self._alarm = Alarm(store.engine)
        self._past = False
        """The call has used up its share, and has not had it back since."""
        self._asked = 0
        """How often the call has asked the host for something since it paid for that."""
        self._asks = False
        """It had, when it was looked at last."""
        self.overdue = False
        """A call has been ended for its length."""
        self.stopped = False
        """A call has been ended because its graph ends and has waited for it as long as it may."""
        self._ends = never if meter is None else meter.stopped
        self._watch = watch
        self._seconds = seconds
        self._noted = self._due = self._resumed = 0.0
        self._extended = False
        self._queued = self._pardoned = 0.0
        """What its thread had waited for a core when the call was looked at first; and of that since then, what the
        call was given."""
        self._callback = capi.EPOCH_CALLBACK(self._on_epoch)
        watch.expect(seconds)
        # The engine asks when its epoch moves on, which it only does when some call is overdue.
        capi.set_epoch_callback(ctypes.cast(store.ptr(), ctypes.c_void_p), self._callback, None, None)
        capi.set_epoch_deadline(ctypes.cast(store._context(), ctypes.c_void_p), 1)

    def _on_epoch(self, _context: int, _data: int, delta: Any, kind: Any) -> int | None:
        self._priority.restore()
        if not self._goes_on():
            return capi.new_error(b"deadline")  # type: ignore[no-any-return]
        delta[0], kind[0] = 1, 0
        if self._past and not self._asks:
            self._priority.lower()
        return None

    def at_host_call(self) -> int | None:
        """The call is with the host: a trap to end it with, or None. A guest that asks much of the host keeps the
        interpreter's lock from who would have it looked at."""
        self.in_host()
        if self._watch.running.get(self, 0.0) > self._watch.clock() or self._goes_on():
            return None
        return capi.new_trap(b"deadline", 8)  # type: ignore[no-any-return]

    def in_host(self) -> None:
        """The call's thread has the interpreter's lock, and will want it again."""
        self._priority.restore()
        self._asked += 1

    def let_go(self) -> None:
        """Undo what a call that is made to wait has changed for its thread."""
        self._priority.restore()
        self.held = False

    def _goes_on(self) -> bool:
        """Whether the call is not to be ended now."""
        look, now = self._watch.running.get(self), self._watch.clock()
        if look is None:
            return True
        self.stopped = self._ends()
        self.overdue = not self.stopped and look <= now and not self._may_go_on(look, now)
        return not (self.stopped or self.overdue)

    def _may_go_on(self, look: float, now: float) -> bool:
        """Judge a call that was to be looked at at `look`, and make it wait for its share."""
        if look != self._noted:  # its first time
            self._due, self._extended = look - self.span + self._seconds, False
            self._queued, self._pardoned = waited_for_a_core(), 0.0
            self._resumed, self._asked = now, min(self._asked, 1)
            if now > look + self.patience:
                return False
        elif self._due <= now:
            self._pardon()
        if self._due <= now:
            if self._extended:
                return False
            # On a busy machine the thread may have waited between noting when it is due and entering the guest, so the
            # first time it is found overdue proves nothing: from here the guest runs at once.
            self._due, self._extended = now + min(self._seconds / 4, _GRACE), True
        look = self._due if self._meter is None else self._hold(self._meter)
        self._noted = self._watch.running[self] = look
        return True

    def _hold(self, meter: Meter) -> float:
        """Make a call wait for its share; when to look at it again."""
        self.held = True
        # Who asks the host pays for the time in which others could not have the interpreter's lock when they wanted it.
        asked, self._asks, self._asked = self._asked, self._asked > 0, 0
        took = self._watch.clock() - self._resumed if asked else 0.0
        price = max(0.0, asked * _PRICE - took) if self._past else 0.0
        self._watch.running[self] = float("inf")  # nobody has to look at it meanwhile
        waited = meter.pause(took + price)
        self._due += waited - price * _OWN  # what we make it wait is not the guest's time
        # One that gives way and gets no core for so long that its burst has come back has its turn as others have.
        self._past = waited > 0 or (self._past and not meter.rested())
        if not self._past:
            rest = min(max(meter.ahead(), _SLICE), _LOOK)
        else:
            rest = _SLICE
            if not self._asks and self._priority.can_yield():
                rest = max(_SLICE, min(meter.of(_PERIOD), _YIELDING))
        self._alarm.after(rest)
        self._resumed = self._watch.clock()
        return min(self._due, self._resumed + rest)

    def close(self) -> None:
        """Safe to call twice."""
        self._alarm.close()

    def _pardon(self) -> None:
        """Add what the call's thread waited for a core to the time it has."""
        waited = min(waited_for_a_core() - self._queued, _PATIENCE * self._seconds)
        self._due += max(0.0, waited - self._pardoned)
        self._pardoned = max(waited, self._pardoned)


def waited_for_a_core() -> float:
    """Seconds this thread was ready to run and had no core, since it began; 0 where the kernel does not say.

    Source: the second figure of `/proc/PID/task/TID/schedstat`, in nanoseconds (Linux with CONFIG_SCHED_INFO).
    """
    try:
        return int(_SCHEDSTAT.read_bytes().split()[1]) / 1e9
    except (OSError, IndexError, ValueError):
        return 0.0
