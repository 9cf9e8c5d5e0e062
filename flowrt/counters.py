"""What hot paths touch while messages pass: plain numbers, no locks, nobody else's code.

Each counter has one writing thread (or a lock of its owner's). Readers are `flowrt.metrics` and the live page, which
read whenever they are asked: a reading may be one batch behind, never wrong for good.
"""

from __future__ import annotations

from bisect import bisect_left

SECONDS_PROCESSING = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""From a guest that only copies to a model that is too large for the gateway, two steps a decade."""
SECONDS_LATENCY = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 300.0)
"""From a message that met nobody to one that waited for a broker to come back."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Messages in a batch."""


class Histogram:
    """How often a value was seen, by fixed bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        """Upper bounds, rising, each including its own value."""
        self.counts = [0] * (len(bounds) + 1)
        """One for each bound, and one for what is above them all."""
        self.sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Note a value that was seen `count` times."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count

    @property
    def count(self) -> int:
        return sum(self.counts)


class NodeCounters:
    """What one node did since it was made; a restart of its guest does not set it back."""

    __slots__ = (
        "batches",
        "cpu_seconds",
        "dead_lettered",
        "dropped",
        "emitted",
        "faults",
        "filtered",
        "latency",
        "processing",
        "received",
        "restarts",
        "retries",
        "sent",
        "throttled_seconds",
    )

    def __init__(self) -> None:
        self.received = 0
        """Messages."""
        self.emitted = 0
        """Messages handed to the nodes behind it; a message for two nodes counts once."""
        self.sent = 0
        """Messages a sink gave to its endpoint."""
        self.filtered = 0
        """Messages left out on purpose."""
        self.dropped: dict[str, int] = {}
        """Messages by reason, a member of `flowrt.events.DROPS`."""
        self.faults: dict[str, int] = {}
        """Messages by kind, a member of `flowrt.events.FAULTS`."""
        self.dead_lettered = 0
        """Messages."""
        self.retries = 0
        """Messages tried again, once for each time."""
        self.restarts = 0
        """Fresh instances put in the place of trapped ones."""
        self.batches = 0
        self.cpu_seconds = 0.0
        self.throttled_seconds = 0.0
        """Time the node waited because it was over its share of the processor."""
        self.processing = Histogram(SECONDS_PROCESSING)
        """Seconds a batch took in the operator, restarts and retries included, the nodes behind it not."""
        self.latency = Histogram(SECONDS_LATENCY)
        """Seconds each message was under way from its source; sinks only."""

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages that ended early."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def fault(self, kind: str, count: int = 1) -> None:
        """Count messages the node failed on."""
        self.faults[kind] = self.faults.get(kind, 0) + count


class ModelCounters:
    """What one loaded model did, for all nodes that share it."""

    __slots__ = ("inference", "rows")

    def __init__(self) -> None:
        self.inference = Histogram(SECONDS_PROCESSING)
        """Seconds of each run of the engine, whatever its batch."""
        self.rows = Histogram(ROWS)
        """Messages in each run."""
