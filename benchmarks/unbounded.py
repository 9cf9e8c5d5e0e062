"""`flowrt run` without quotas, for the bench to measure what they cost: `python -m benchmarks.unbounded run GRAPH …`.

Nothing that bounds or charges a message is left: code is compiled without the checks by which a call can be ended, no
call has a deadline, no thread's clock is read, no payload's size is looked at, no inbox counts bytes. What is left is
the number of messages in an inbox, without which nothing would hold back a source. Nobody should run a graph like
this, so flowrt has no option for it: this file takes the pieces out from outside, and fails when one of them is no
longer there.
"""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable
from typing import Any

import wasmtime

from flowrt.cli.main import main
from flowrt.endpoints.base import Stopped
from flowrt.errors import FlowrtBug
from flowrt.message import Batch
from flowrt.quota.meter import Meter
from flowrt.runtime.inbox import Inbox
from flowrt.runtime.node import Node
from flowrt.wasm import capi, crossing
from flowrt.wasm.crossing import VALUE_WORDS, Crossing
from flowrt.wasm.engine import PLAIN, Engine, Variant


class NoDeadline:
    """In the place of `Deadline`: nobody watches."""

    span = 0.0
    overdue = metered = held = False
    at_host_call = None

    def __init__(self, *_: object) -> None:
        pass

    def in_host(self) -> None:
        pass

    def let_go(self) -> None:
        pass

    def close(self) -> None:
        pass


def caller(self: Any, function: Any, slots: int) -> Callable[[int, int], int]:
    """In the place of `Crossing._caller`."""
    values = (ctypes.c_uint32 * (VALUE_WORDS * 2))()
    self._kept += [values, function]
    raw = memoryview(values).cast("B").cast("I")
    context, trap, trap_address = self._context, self._trap, self._trap_address
    target = ctypes.c_void_p(ctypes.addressof(function.of.func))
    buffer, count = ctypes.c_void_p(ctypes.addressof(values)), ctypes.c_size_t(slots)
    cross = capi.call_unchecked

    def call(first: int = 0, second: int = 0) -> int:
        if self.broken:
            raise FlowrtBug("a guest was called after it had failed")
        raw[0] = first
        raw[4] = second
        error = cross(context, target, buffer, count, trap_address)
        if error or trap.value:
            raise self._failed(error)
        return raw[0]

    return call


def accept(self: Any, batch: Batch) -> None:
    """In the place of `Node.accept`."""
    self.counters.received += len(batch)
    self._handle(batch)


def put(self: Any, batch: Batch) -> None:
    """In the place of `Inbox.put`."""
    with self._lock:
        while not self._closed and self.messages and self.messages + len(batch) > self._messages_max:
            self._putters_waiting += 1
            self._emptied.wait()
            self._putters_waiting -= 1
        if self._closed:
            raise Stopped
        self._add(batch, 0)


def nothing(*_: object) -> None:
    """In the place of what reads a thread's clock."""


def take_out() -> None:
    """Take the quotas out of this process."""
    config, settings = Engine._config, Engine.settings

    def unwatched(self: Engine, variant: Variant) -> wasmtime.Config:
        made = config(self, variant)
        made.epoch_interruption = False
        return made

    def named(self: Engine, variant: Variant = PLAIN) -> str:
        return settings(self, variant).replace("epoch=1", "epoch=0")

    replaced: list[tuple[Any, str, object]] = [
        (Engine, "_config", unwatched),
        (Engine, "settings", named),
        (crossing, "Deadline", NoDeadline),
        (Crossing, "_caller", caller),
        (Node, "accept", accept),
        (Inbox, "put", put),
        *((Meter, name, nothing) for name in ("begin", "resume", "adopt", "count", "tally")),
    ]
    for owner, name, other in replaced:
        if not hasattr(owner, name):
            raise FlowrtBug(f"{owner} has no {name} any more: benchmarks/unbounded.py is to be mended")
        setattr(owner, name, other)


if __name__ == "__main__":
    take_out()
    sys.exit(main(sys.argv[1:]))
