"""What a node may use, as users declare it. Each default stands beside its reason."""

from __future__ import annotations

from typing import Literal

from flowrt.counters import OWN_SERIES
from flowrt.options import Field, Options, camel
from flowrt.quota.quantity import Bytes, Cores, Seconds

AtLimit = Literal["throttle", "drop", "bypass"]
AtFault = Literal["restart", "bypass"]


class Disable(Options):
    """When a node that fails again and again is switched off for a while."""

    faults: int = Field(10, ge=1, le=10_000)
    """So many faults of the node (a trap or a bound that a call broke; not messages it refused) …"""
    within: Seconds = Field(60.0, gt=0, le=86400)
    """… in so long switch it off."""
    pause: Seconds = Field(600.0, gt=0, le=30 * 86400)
    """For so long; then it is tried again. Until then its messages go where `onError` says, as faults of kind
    `disabled`, or pass unchanged with `atFault: bypass`. 10m: long enough that the log shows it, short enough that what
    mends itself does so within a shift."""


class Budget(Options):
    """What all operations of a graph may use together, whatever each one's own quota."""

    cpu: Cores | None = Field(None, le=1024)
    """Sustained share of the processor, as `1500m`: who is at work beyond it waits."""
    memory: Bytes | None = Field(None, ge=2**16, le=2**44)
    """Linear memory of all guests and models of all inference operations: a guest that asks for more is refused."""


NO_BUDGET = Budget.by_default()


_BOUNDS = (
    "deadline", "fuel", "stack", "message_rate", "byte_rate", "inbox", "inbox_memory", "message", "outputs",
    "log_lines", "metric_series",
)  # fmt: skip


class Resources(Options):
    """The quota of one operation."""

    cpu: Cores | None = Field(None, le=64)
    """Sustained share of one core, as `250m`. A node that has used it up waits; until it has it back, a fault
    costs it 0.15 ms more, a call that failed as a whole 2 ms, and each output beyond 16 a message 0.02 ms, because they
    keep others from the interpreter. Unset: no share of its own, bounded by the graph's budget and the machine."""
    memory: Bytes = Field(64 * 2**20, ge=2**16, le=2**32)
    """Bound of a guest's linear memory and of what the host holds for it. 64Mi: several times what the example
    guests use, and small enough that a dozen nodes fit a gateway of 1 GB."""
    message_rate: float | None = Field(None, gt=0, le=1e9)
    """Messages a second, on average; bursts of a tenth of a second's worth pass. Unset: as fast as they come."""
    byte_rate: Bytes | None = Field(None, gt=0, le=2**40)
    """Payload bytes a second, likewise."""
    at_limit: AtLimit = "throttle"
    """What happens above `cpu`, `messageRate` and `byteRate`: `throttle` lets the messages wait, which is
    back-pressure; `drop` forgets those above it; `bypass` passes those above it on unchanged. Each is
    counted."""
    at_fault: AtFault = "restart"
    """What happens when a call traps or breaks `memory`, `deadline`, `fuel` or `outputs`: the guest gets a fresh
    instance, with back-off, and the message goes where `onError` says (`restart`), or on unchanged (`bypass`)."""
    disable: Disable | None = None
    """Switch the node off for a while after so many faults in so long. Unset: it is restarted for ever, which costs at
    most one start a second."""
    isolation: Literal["thread", "process"] = "thread"
    """Where the node works. `process`: in a process of its own, so that what crashes there ends that process alone; it
    is bounded by `memory` and `cpu` as a whole, and started again when it dies. For guests and models; a batch costs
    some 0.1 ms more."""
    deadline: Seconds = Field(1.0, gt=0, le=3600)
    """Longest one call may take, on the clock; what it waits for its `cpu` share is left out, and, up to three times as
    long, what it waits for a core that others have. 1 s: no preprocessing step is slower, and a loop is noticed before
    a watchdog is. A component that sleeps is ended when it wakes, and with `isolation: process` at ten times its
    deadline."""
    fuel: int | None = Field(None, gt=0)
    """Instructions one call may execute, where a deterministic bound is wanted. Unset: `deadline` bounds the call."""
    stack: Bytes = Field(2**20, ge=2**16, le=2 * 2**20)
    """Bytes of stack one call may use; deeper recursion is a fault of kind `trap`. 1Mi: some ten thousand frames, and
    far from the 8 MiB of a thread, which the host's own functions share."""
    inbox: int = Field(4096, ge=1, le=1_000_000)
    """Messages that may wait before the node; then whoever feeds it waits. 4096: a tenth of a second at full speed."""
    inbox_memory: Bytes = Field(32 * 2**20, ge=2**16, le=2**34)
    """Payload bytes that may wait before the node."""
    message: Bytes = Field(16 * 2**20, ge=1, le=256 * 2**20)
    """Largest payload the node takes or makes. Larger ones are a fault of kind `size`."""
    outputs: int = Field(1024, ge=1, le=1_000_000)
    """Messages a guest may make of one message."""
    log_lines: int = Field(100, ge=0, le=100_000)
    """Log lines a guest may write a second; more are counted and left out."""
    metric_series: int = Field(OWN_SERIES, ge=0, le=10_000)
    """Series of metrics of its own that a guest may make, names times label values; values of more are counted and
    refused. 100: some ten metrics with some labels, and a page of metrics that a slow gateway still answers quickly."""

    def bounds(self) -> dict[str, float]:
        """Every bound that has no metric of its own, by the name of its option, those unset left out: messages, bytes
        and seconds."""
        named = {camel(name): getattr(self, name) for name in _BOUNDS}
        return {name: float(value) for name, value in named.items() if value is not None}

    @property
    def declared_cpu(self) -> float:
        return self.cpu or 0.0

    @property
    def has_rate(self) -> bool:
        """Whether the node may have to wait for a share or a rate of its own."""
        return self.cpu is not None or self.message_rate is not None or self.byte_rate is not None
