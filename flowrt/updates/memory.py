"""The memory of a version that has gone, given back to the system; and of what stays, kept out of collections."""

from __future__ import annotations

import ctypes
import gc
import sys
from contextlib import suppress


def give_back() -> None:
    """Free what has gone but refers to itself, then what the C library keeps of freed memory between pieces in use:
    after hundreds of updates that is megabytes. Looks through what came since the start only, which is little; the
    rest takes milliseconds, without holding the interpreter. A C library without such a call (musl) keeps little."""
    gc.collect()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def load_readers() -> None:
    """Load what reads a graph file, where a start with a known file did without, and leave it out of every collection:
    it stays, and looking through it would hold all threads up for some 10 ms, now and again."""
    if "flowrt.graph.reading" not in sys.modules:
        import flowrt.graph.reading  # noqa: F401

        gc.freeze()
