"""What a hostile node under its declared quota does to a healthy graph in the same runtime: ratios within one run.

The healthy graph is fed at half of what it can do alone. Beside the hostile one it must keep 90 % of that rate, and its
99th percentile of latency may at most double.

What else the machine does makes one window many times as slow as the next. So there are many short ones, in turn: what
the graph can do, alone at half of that, beside each kind of hostility at the same rate, and again. A round during which
others took more than a tenth of a core does not count and is played again, as often as there are rounds; when the
machine does not become calm, all count. Compared are medians over the rounds; how much others took is said.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from benchmarks import hostile
from benchmarks.inprocess import Endless, planned
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings

ROUNDS = 15
WINDOW = 1.5
"""Seconds, in which some thousand batches come: the 99th percentile is not one of a handful."""
OTHERS = 0.1
"""Cores that others may take during a round that counts."""
CALM = 0.005
"""Seconds of latency at which the backlog of a start is taken to be worked off."""
RATE, LATENCY = 0.9, 2.0
BATCH = 256
"""Messages that the hostile node's source hands on at once, as one that has much does: its work is not the node's."""
WORK = "operationType: map, name: work, module: bench-parse"
HEALTHY = """\
metadata: {name: healthy, version: '1'}
endpoints: [{name: e, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: e, topics: [t]}
  - {operationType: map, name: work, module: bench-parse}
  - {operationType: sink, name: out, endpoint: e, topic: o}
connections:
  - {from: {name: in}, to: {name: work}}
  - {from: {name: work}, to: {name: out}}
"""
PAYLOAD = b'{"v":[' + b",".join(b"%d.5" % n for n in range(16)) + b"]}"


def compare(seconds: float) -> bool:
    """Print a row for each kind of hostility; whether the neighbour kept its rate and latency in all."""
    seconds = min(seconds, WINDOW)
    kinds = ("alone", *hostile.KINDS)
    played: list[_Round] = []
    calm: list[_Round] = []
    with tempfile.TemporaryDirectory() as name:
        while len(calm) < ROUNDS and len(played) < 2 * ROUNDS:
            played.append(_play(Path(name), kinds, seconds))
            calm += [one for one in played[-1:] if one.others <= OTHERS]
    counted = calm if len(calm) >= ROUNDS else played
    others = median(one.others for one in counted)
    rounds = f"{len(counted)} rounds of {len(played)}; others took {others:.2f} cores"
    print(f"neighbour, fed at half of what it can do, {rounds}")
    print(f"{'beside':<14}{'rate':>7}{'p99, ms':>9}{'ratio':>7}{'quarters of ratios':>22}")
    rates = {kind: [one.rates[kind] for one in counted] for kind in kinds}
    delays = {kind: [one.delays[kind] for one in counted] for kind in kinds}
    held = [_row(kind, rates, delays) for kind in kinds]
    return all(held)


@dataclass
class _Round:
    """By kind, the part of the rate that was kept and the 99th percentile of latency in seconds."""

    rates: dict[str, float] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    others: float = 0.0
    """Cores that others took."""


def _play(path: Path, kinds: Sequence[str], seconds: float) -> _Round:
    began, spent, busy = time.monotonic(), time.process_time(), _busy()
    found = _Round()
    capacity, _ = _measure(path, "alone", seconds / 2, rate=None)
    for kind in kinds:
        rate, found.delays[kind] = _measure(path, kind, seconds, capacity / 2)
        found.rates[kind] = rate * 2 / capacity
    found.others = (_busy() - busy - (time.process_time() - spent)) / (time.monotonic() - began)
    return found


def _row(kind: str, rates: dict[str, list[float]], delays: dict[str, list[float]]) -> bool:
    rate, delay = median(rates[kind]), median(delays[kind])
    ratio = delay / median(delays["alone"])
    low, _, high = quantiles([b / a for a, b in zip(delays["alone"], delays[kind], strict=True)], n=4)
    good = kind == "alone" or (rate >= RATE * median(rates["alone"]) and ratio <= LATENCY)
    said = "" if good else "  not held"
    print(f"{kind:<14}{rate:7.3f}{delay * 1e3:9.2f}{ratio:7.2f}{low:15.2f} to {high:.2f}{said}", flush=True)
    return good


def _busy() -> float:
    """Seconds that cores have worked for anyone, this machine's host included, since its start."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def _measure(path: Path, kind: str, seconds: float, rate: float | None) -> tuple[float, float]:
    """Messages a second through the healthy graph, and the 99th percentile of their latency in seconds."""
    healthy = Endless([PAYLOAD] * 16, rate)
    plans, ends = [planned(path, HEALTHY, "healthy.yaml")], {"healthy": healthy}
    if kind != "alone":
        beside = hostile.KINDS[kind]
        beside.prepare(path)
        graph = HEALTHY.replace("name: healthy", "name: hostile").replace(WORK, beside.operation)
        plans.append(planned(path, graph, "hostile.yaml"))
        ends["hostile"] = Endless([beside.payload] * BATCH)
    around = Surroundings(lambda _: None, path / "state", open_endpoints=lambda graph, *_, **__: ends[graph])
    runtime = Runtime(plans, around, whole=False)
    runtime.start()
    gc.collect()
    gc.freeze()  # as `flowrt run` does
    sink = healthy.sinks["out"]
    _settle(sink.delays, rate)
    sink.delays.clear()
    before, began = sink.received, time.monotonic()
    time.sleep(seconds)
    got, took = sink.received - before, time.monotonic() - began
    delays = list(sink.delays)
    runtime.stop(0.1)
    gc.unfreeze()
    return got / took, quantiles(delays, n=100)[98] if len(delays) > 1 else float("inf")


def _settle(delays: list[float], rate: float | None) -> None:
    """Wait until the graph has worked off what came while it started, at most for some seconds."""
    time.sleep(0.3)
    late = time.monotonic() + 2
    while rate and (not delays or delays[-1] > CALM) and time.monotonic() < late:
        time.sleep(0.02)
