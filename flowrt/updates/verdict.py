"""When a new version is worse than the one it replaces. Pure: figures and bounds in, a reason or none out."""

from __future__ import annotations

from flowrt.graph.updates import Bounds
from flowrt.quota.quantity import format_bytes
from flowrt.values import Struct

LATENCY_ROWS = 20
"""Messages after which the time a message takes is judged …"""
LATENCY_SECONDS = 0.25
"""… or the time spent on fewer. Before so much is spent, what a thread waited for a core is not held against a version:
one turn of others is many times what a message takes."""
LATENCY_SLACK = 0.0002
"""Seconds a message that are never held against a version: what a busy machine adds."""
FEW = 3
"""So many refusals or differences are tolerated where the bound, a share, would allow none of few messages."""


class Tally(Struct):
    """What a new version did since it was first given a message. One thread writes, others read."""

    rows: int = 0
    """Messages it was given."""
    traps: int = 0
    """Messages it trapped on that the old version handled."""
    failed: int = 0
    """Messages it refused that the old version handled."""
    seconds: float = 0.0
    """Spent in it."""
    waited: float = 0.0
    """Of that, what its thread waited for a core that others had."""
    compared: int = 0
    """Messages both were given."""
    differing: int = 0
    """Of those, how many came out differently."""
    memory: int = 0
    """Bytes it holds."""
    old_memory: int = 0
    """Bytes the old one holds."""
    memory_limit: int = 0
    """Bytes it may hold; 0: no bound is known."""
    old_seconds: float | None = None
    """Seconds a message took in the old version; None where that is not known."""
    detail: str = ""
    """Its latest fault or difference, in words."""


def judge(tally: Tally, bounds: Bounds) -> str | None:
    """Why the version must go, or None while it is within its bounds."""
    if tally.traps > bounds.traps:
        return _because("traps", f"trapped on {tally.traps} messages that the old version handles", tally)
    if _over(tally.failed, tally.rows, bounds.faults):
        return _because(
            "faults", f"refused {tally.failed} of {tally.rows} messages that the old version handles", tally
        )
    if bounds.drift is not None and _over(tally.differing, tally.compared, bounds.drift):
        return _because("drift", f"gave other results for {tally.differing} of {tally.compared} messages", tally)
    limit = tally.memory_limit * bounds.memory
    if tally.memory_limit and tally.memory > limit and tally.memory > tally.old_memory:
        return f"memory: holds {format_bytes(tally.memory)} of its {format_bytes(tally.memory_limit)}"
    return _slow(tally, bounds)


def _slow(tally: Tally, bounds: Bounds) -> str | None:
    if tally.old_seconds is None or not tally.rows:
        return None
    if tally.rows < LATENCY_ROWS and tally.seconds < LATENCY_SECONDS:
        return None
    few = tally.seconds < LATENCY_SECONDS
    mean = (tally.seconds - (tally.waited if few else 0.0)) / tally.rows
    if mean <= bounds.latency * tally.old_seconds + LATENCY_SLACK:
        return None
    return f"latency: takes {mean * 1e3:.3f} ms a message, the old version {tally.old_seconds * 1e3:.3f} ms"


def _over(count: int, of: int, share: float) -> bool:
    """Whether a share is exceeded. Of few messages, a few are no proof."""
    if count <= share * of:
        return False
    return count > FEW if share else True


def _because(kind: str, words: str, tally: Tally) -> str:
    return f"{kind}: {words}" + (f"; the last: {tally.detail}" if tally.detail else "")
