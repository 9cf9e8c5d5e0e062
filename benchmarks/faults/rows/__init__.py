"""The rows of the fault bench, by what breaks."""

from __future__ import annotations

from benchmarks.faults.rows import brokers, host, links, others, processes, spool, storage, windows
from benchmarks.faults.world import Scenario

SCENARIOS: tuple[Scenario, ...] = (
    *processes.SCENARIOS,
    *links.SCENARIOS,
    *spool.SCENARIOS,
    *windows.SCENARIOS,
    *brokers.SCENARIOS,
    *storage.SCENARIOS,
    *host.SCENARIOS,
    *others.SCENARIOS,
)
