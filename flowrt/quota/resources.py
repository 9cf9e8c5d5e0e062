"""What a node may use, as users declare it. Each default stands beside its reason."""

from __future__ import annotations

from pydantic import Field

from flowrt.options import Options
from flowrt.quota.quantity import Bytes, Cores, Seconds


class Resources(Options):
    """The quota of one operation."""

    cpu: Cores | None = Field(None, le=64)
    """Sustained share of one core, as `250m`. Unset: no share of its own, bounded by the machine."""
    memory: Bytes = Field(64 * 2**20, ge=2**16, le=2**32)
    """Bound of a guest's linear memory and of what the host holds for it. 64Mi: several times what the example
    guests use, and small enough that a dozen nodes fit a gateway of 1 GB."""
    deadline: Seconds = Field(1.0, gt=0, le=3600)
    """Longest one call may take. 1 s: no preprocessing step is slower, and a loop is noticed before a watchdog is."""
    fuel: int | None = Field(None, gt=0)
    """Instructions one call may execute, where a deterministic bound is wanted. Unset: `deadline` bounds the call."""
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

    @property
    def declared_cpu(self) -> float:
        return self.cpu or 0.0
