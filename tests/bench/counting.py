"""What code does, counted: a machine that is busy counts the same."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

SMALL, LARGE = 8, 208
"""Two batch sizes; the difference is what messages cost, the rest is what a batch costs."""


@dataclass(frozen=True)
class Cost:
    """What a batch costs whatever its size, and what each of its messages adds."""

    batch: float
    message: float


def cost(count: Callable[[Callable[[], object]], int], job: Callable[[int], Callable[[], object]]) -> Cost:
    """`job(n)` makes what handles a batch of `n` messages; it has run once before it is counted."""
    counts = {}
    for size in (SMALL, LARGE):
        ready = job(size)
        ready()
        counts[size] = count(ready)
    message = (counts[LARGE] - counts[SMALL]) / (LARGE - SMALL)
    return Cost(counts[SMALL] - message * SMALL, message)


def instructions(job: Callable[[], object]) -> int:
    """Python bytecode instructions that `job` executes on this thread."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        frame.f_trace_lines = False
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        job()
    finally:
        sys.settrace(before)
    return count


def calls(job: Callable[[], object]) -> int:
    """Functions that `job` calls on this thread, Python's and C's."""
    count = 0

    def profile(_: FrameType, event: str, __: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        job()
    finally:
        sys.setprofile(before)
    return count


def blocks_kept(job: Callable[[], Sequence[object]]) -> int:
    """Memory blocks that live as long as what `job` gives back."""
    job()
    before = sys.getallocatedblocks()
    kept = job()
    held = sys.getallocatedblocks() - before
    del kept
    return held
