"""What a node holds and has used, in a line, for whoever reads its dead letters."""

from __future__ import annotations

import json
from collections.abc import Callable

from flowrt.counters import NodeCounters
from flowrt.quota.resources import Resources


def quota_state(held: Callable[[], int], resources: Resources, counters: NodeCounters) -> str:
    """As JSON: bytes, cores and seconds. Safe from any thread."""
    return json.dumps(
        {
            "memory": held(),
            "memoryLimit": resources.memory,
            "cpuSeconds": round(counters.cpu_seconds, 3),
            "cpuLimit": resources.cpu,
            "throttledSeconds": round(counters.throttled_seconds, 3),
            "deadline": resources.deadline,
            "restarts": counters.restarts,
        }
    )
