"""A node's counters by the names that tests and their authors use."""

from __future__ import annotations

from flowrt.counters import Histogram, NodeCounters


def counted(counters: NodeCounters) -> dict[str, float]:
    """Every counter by name; what has not happened may be missing, and is 0."""
    found: dict[str, float] = {
        "received": counters.received,
        "emitted": counters.emitted,
        "sent": counters.sent,
        "filtered": counters.filtered,
        "deadLettered": counters.dead_lettered,
        "retries": counters.retries,
        "restarts": counters.restarts,
        "bypassed": counters.bypassed,
        "batches": counters.batches,
    }
    found |= {f"dropped.{reason}": count for reason, count in counters.dropped.items()}
    found |= {f"faults.{kind}": count for kind, count in counters.faults.items()}
    for (name, labels), value in counters.own.series.items():
        texts = ",".join(f'{key}="{text}"' for key, text in labels)
        shown = f"{{{texts}}}" if texts else ""
        if isinstance(value, Histogram):
            found |= {f"{name}_count{shown}": value.count, f"{name}_sum{shown}": value.sum}
        else:
            found[f"{name}_total{shown}"] = value
    return found
