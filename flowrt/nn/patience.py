"""How long the caller of a run still waits: what engines look at that make their output in steps.

A guest's deadline cannot interrupt native code. A text, however, is made token by token, and between two of them this
is asked. It is the calling thread's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from math import inf
from time import monotonic

from flowrt.nn.faults import ModelFault

_until: ContextVar[float] = ContextVar("until", default=inf)


@contextmanager
def patience(seconds: float) -> Iterator[None]:
    """What runs inside has so long from now on."""
    token = _until.set(monotonic() + seconds)
    try:
        yield
    finally:
        _until.reset(token)


def check_patience(label: str) -> None:
    """Raises `ModelFault` of code `timeout` when the caller waits no longer."""
    if monotonic() >= _until.get():
        raise ModelFault("timeout", f"model '{label}': its text was not done when the call's deadline had passed")
