"""What one node may use while it runs, and what happens beyond it: made from its `resources`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic, sleep

from flowrt.counters import NodeCounters
from flowrt.errors import NodeFault
from flowrt.events import Emit, LimitReached, NodeDisabled, NodeEnabled
from flowrt.message import Batch
from flowrt.quota.breaker import Breaker
from flowrt.quota.bucket import Bucket
from flowrt.quota.gate import Gate
from flowrt.quota.meter import Meter
from flowrt.quota.quantity import format_bytes, format_cores
from flowrt.quota.resources import Resources

_SAY_AGAIN_SECONDS = 30.0
"""How often a node that stays over a limit says so: the metrics tell the rest."""


TURN_SECONDS = 0.001
"""Processor time that a node past its share takes at a time, where its batch can be divided. What it does meanwhile in
the interpreter keeps others from it."""
FAULT_SECONDS = 0.00015
"""What a fault costs a node past its share besides the time it takes, some four times that. It is the interpreter's
work, which nobody else can use meanwhile: a quarter of a core of that makes others wait two to three times as long,
however short the turns are; a twentieth does not."""
CALL_SECONDS = 0.002
"""The same of a call that failed as a whole, whose messages are tried again in parts."""
OUTPUT_SECONDS = 0.00002
"""The same of each output beyond `OUTPUTS` a message."""
OUTPUTS = 16
"""Of a message: who divides a message into its readings is not in the way of others."""
BREATH_SECONDS = 0.0001
"""In the middle of that, between making and handing on, it lets others have the interpreter."""
WHOLE = 2**31
"""More messages than a batch has."""


class Limits:
    """The limits of one node. Used by its thread only, but for `meter`, which the builder's thread uses before."""

    def __init__(
        self,
        graph: str,
        node: str,
        resources: Resources,
        counters: NodeCounters,
        stopping: threading.Event,
        emit: Emit,
        *,
        budgets: Sequence[Bucket] = (),
        clock: Callable[[], float] = monotonic,
        divides: bool = True,
    ) -> None:
        """`budgets` are the shares that it has in common with others; `clock` gives the seconds that rates are of;
        `divides` says that smaller batches are no dearer for the node, as they are for a model."""
        self.clock = clock
        self._resources = resources
        own = [] if resources.cpu is None else [Bucket(resources.cpu, monotonic())]
        buckets, whole = [*own, *budgets], bool(own)
        self.meter = Meter(counters, buckets, whole_thread=whole, wait=stopping.wait, stopped=stopping.is_set)
        self.message_max = resources.message
        self.outcome = resources.at_limit
        self.bypass_faults = resources.at_fault == "bypass"
        disable = resources.disable
        self.breaker = None if disable is None else Breaker(disable.faults, disable.within, disable.pause)
        self.bounded = resources.has_rate or self.meter.bounded or self.breaker is not None
        """Whether there is anything to ask before a batch, and to wait for after it."""
        self.selects = resources.at_limit != "throttle"
        """Whether messages may be turned away; else who is over a limit waits behind the batch that was."""
        self._gate = Gate(resources, self.meter, counters, clock)
        self._graph, self._node, self._counters = graph, node, counters
        self._stopping = stopping
        self._emit = emit
        self._said = float("-inf")
        self._throttled = counters.throttled_seconds
        """What it had waited for its share when this was looked at last."""
        self.divides = divides and self.meter.bounded
        self.most = WHOLE
        """Messages that the node is to work on at a time."""
        self.behind = False
        """Whether it has used up its share, and has not had it back since."""
        self._share = own[0] if own else None

    def room(self, batch: Batch) -> int:
        """How many of its messages may enter."""
        room = self._gate.room(batch.payloads)
        if room < len(batch):
            self._say("cpu" if self.meter.in_debt() else self._rate_bound(), 0.0)
        return room

    def pay(self) -> None:
        """Pay for the processor in the middle of a batch, and wait where that is what the node does."""
        if self.meter.bounded and self.outcome == "throttle":
            owed, waited = self._owed()
            if owed > 0 or waited > 0:
                self._wait(owed, waited)

    def surcharge(self, rows: int, faulted: int, forked: int, failed: int) -> None:
        """The node is past its share and has made faults of so many of the messages, and so many outputs beyond one a
        message of all, with so many calls that failed: it pays for what that costs others, and lets them have the
        interpreter."""
        price = faulted * FAULT_SECONDS + failed * CALL_SECONDS
        price += max(0, forked - (OUTPUTS - 1) * rows) * OUTPUT_SECONDS
        if price:
            self.meter.owe(price)
            self.breathe()

    @staticmethod
    def breathe() -> None:
        """Let others have the interpreter."""
        sleep(BREATH_SECONDS)

    def settle(self, batch: Batch) -> None:
        """Pay for a batch, and wait where that is what the node does."""
        owed, waited = self._owed()
        if (owed > 0 or self.most < WHOLE) and self.divides:
            self._divide(len(batch), owed)
        behind, bound = self._gate.charge(batch)
        if self.outcome != "throttle":
            return
        if owed > 0 or waited > 0:
            behind -= self._wait(owed, waited)
        if behind > 0:
            self._say(bound, behind)
            began = self.clock()
            self._stopping.wait(behind)
            self._counters.rate_throttled_seconds += self.clock() - began

    def _owed(self) -> tuple[float, float]:
        """Pay; the seconds to wait, and those that it has waited in the middle of a call."""
        still = self.behind and self._share is not None and not self._share.full(monotonic())
        owed, throttled = self.meter.owed(), self._counters.throttled_seconds
        waited, self._throttled = throttled - self._throttled, throttled
        self.behind = owed > 0 or waited > 0 or still
        return owed, waited

    def _wait(self, owed: float, before: float) -> float:
        """Wait for its share, and say so, or that it did `before`; the seconds it took now."""
        self._say("cpu", owed or before)
        waited = self.meter.wait(owed)
        self._throttled = self._counters.throttled_seconds
        return waited

    def _divide(self, count: int, owed: float) -> None:
        """After a batch of so many messages the node owes so many seconds: how many to take at a time from now on."""
        used = self.meter.paid
        if owed > 0 and used > TURN_SECONDS:
            self.most = max(1, int(count * TURN_SECONDS / used))
        elif self.most < WHOLE and (owed <= 0 or used < TURN_SECONDS / 2):
            self.most *= 2

    def failed(self, fault: NodeFault) -> bool:
        """The node failed; too often switches it off. Whether this time did."""
        disable = self._resources.disable
        if self.breaker is None or disable is None or fault.kind == "disabled" or self._counters.disabled:
            return False
        switched_off = self.breaker.fault(self.clock())
        if switched_off:
            self._counters.disables += 1
            self._counters.disabled = True
            event = NodeDisabled(self._graph, self._node, disable.faults, disable.within, disable.pause, str(fault))
            self._emit(event)
        return switched_off

    def switched_off(self) -> bool:
        """Whether the node is switched off; says so when that is over."""
        if not self._counters.disabled:
            return False
        if self.breaker is not None and self.breaker.off(self.clock()):
            return True
        self._counters.disabled = False
        self._emit(NodeEnabled(self._graph, self._node))
        return False

    def off_fault(self) -> NodeFault:
        """The fault of a message that reaches the node while it is switched off."""
        return NodeFault("disabled", "the node is switched off, because it failed too often")

    def _rate_bound(self) -> str:
        return "messageRate" if self._resources.message_rate is not None else "byteRate"

    def _say(self, bound: str, seconds: float) -> None:
        now = self.clock()
        if now - self._said >= _SAY_AGAIN_SECONDS:
            self._said = now
            self._emit(LimitReached(self._graph, self._node, bound, self._limit(bound), seconds, self.outcome))

    def _limit(self, bound: str) -> str:
        resources = self._resources
        match bound:
            case "cpu":
                return "its graph's budget" if resources.cpu is None else format_cores(resources.cpu)
            case "messageRate":
                return f"{resources.message_rate:g} messages a second"
        return f"{format_bytes(resources.byte_rate or 0)} a second"
