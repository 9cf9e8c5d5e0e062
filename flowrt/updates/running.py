"""One update as those see it who asked for it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from time import monotonic

from flowrt.updates.step import Steps
from flowrt.values import Struct, field


def nothing() -> None:
    """For who wants to know of nothing."""


class Declined(Exception):
    """An update that is not begun, in words for who asked."""


class UnderWay(Declined):
    """Another update of the graph has not ended."""


class Running(Struct, eq=False):
    """One update while it is under way and after."""

    steps: Steps
    progress: list[tuple[str, str]] = field(default_factory=list)
    """States and what there is to say of each."""
    outcome: str = ""
    """The state it ended in; empty while it is under way."""
    reason: str = ""
    ended: threading.Event = field(default_factory=threading.Event)
    changed: threading.Condition = field(default_factory=threading.Condition)
    thread: threading.Thread | None = None
    proven: Callable[[], None] = nothing
    """Called when it has proven itself, before that is written down. May raise OSError, which is told."""


def wait_settled(updates: Sequence[Running], seconds: float, go_on: Callable[[], bool]) -> None:
    """Until each carries traffic or is not going to, while `go_on`, which is asked now and then, says yes."""
    until = monotonic() + seconds
    for running in updates:
        while not running.steps.settled.wait(0.05) and monotonic() < until and go_on():
            pass
