"""What a runtime says of itself on `/metrics`, as a small table for people."""

from __future__ import annotations

import re
import urllib.error
import urllib.request
from collections.abc import Mapping

_SAMPLE = re.compile(r"^(?P<name>\w+)\{(?P<labels>[^}]*)\} (?P<value>\S+)", re.MULTILINE)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
_WITHIN_S = 5.0
Samples = Mapping[str, Mapping[str, float]]


def table(address: str) -> list[str]:
    """A line a node, from `http://ADDRESS/metrics`; empty when nothing answers there."""
    try:
        with urllib.request.urlopen(f"http://{address}/metrics", timeout=_WITHIN_S) as answer:
            return lines(samples(answer.read().decode()))
    except (OSError, urllib.error.URLError):
        return []


def samples(text: str) -> Samples:
    """Sample name to node to value, of the samples that name a node; those of one node are added up."""
    found: dict[str, dict[str, float]] = {}
    for match in _SAMPLE.finditer(text):
        node = dict(_LABEL.findall(match["labels"])).get("node")
        if node is not None and not match["name"].endswith("_bucket"):
            of_name = found.setdefault(match["name"], {})
            of_name[node] = of_name.get(node, 0.0) + float(match["value"])
    return found


def lines(found: Samples) -> list[str]:
    """The table: messages in and out, CPU time a message, guest or model memory, mean time from source to sink."""
    received = found.get("flowrt_node_received_messages_total", {})
    if not received:
        return []
    heading = f"{'node':<12}{'in':>8}{'out':>8}{'faults':>8}{'CPU µs/msg':>12}{'memory kB':>11}{'source to here':>16}"
    return [heading, *(_line(found, node, count) for node, count in received.items())]


def _line(found: Samples, node: str, count: float) -> str:
    def value(name: str) -> float:
        return found.get(name, {}).get(node, 0.0)

    cpu = value("flowrt_node_cpu_seconds_total") / count * 1e6 if count else 0.0
    memory = value("flowrt_node_memory_bytes") / 1000
    arrived = value("flowrt_sink_latency_seconds_count")
    latency = f"{value('flowrt_sink_latency_seconds_sum') / arrived * 1e3:.1f} ms" if arrived else ""
    line = (
        f"{node:<12}{count:>8.0f}{value('flowrt_node_emitted_messages_total'):>8.0f}"
        f"{value('flowrt_node_faulted_messages_total'):>8.0f}"
        f"{f'{cpu:.0f}' if cpu else '':>12}{f'{memory:.0f}' if memory else '':>11}{latency:>16}"
    )
    return line.rstrip()
