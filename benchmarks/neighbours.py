"""What a hostile node under its declared quota does to a healthy graph in the same runtime: ratios within one run.

The healthy graph is fed at half of what it can do alone. Beside the hostile one it must keep 90 % of that rate, and its
99th percentile of latency may at most double.

What else the machine does makes one window many times as slow as the next. So there are many short ones, in turn: what
the graph can do, alone at half of that, beside a few kinds of hostility at the same rate, and again; then the next few.
A turn during which others took more than a tenth of a core does not count and is played again, as often as there are
rounds; when the machine does not become calm, all count. Compared are medians over the rounds; how much others took is
said.
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

ALONE = ""
AT_ONCE = 3
"""Kinds that take turns: what the graph can do is measured anew after so many."""
ROUNDS = 7
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
    kinds = list(hostile.KINDS)
    print("neighbour, fed at half of what it can do: rate, 99th percentile of latency in ms, and that as a ratio")
    print(f"{'beside':<16}{'rate':>7}{'alone':>8}{'beside':>8}{'ratio':>7}{'quarters of ratios':>20}{'others':>8}")
    held = True
    with tempfile.TemporaryDirectory() as name:
        for start in range(0, len(kinds), AT_ONCE):
            turns = _turns(Path(name), kinds[start : start + AT_ONCE], min(seconds, WINDOW))
            for kind in kinds[start : start + AT_ONCE]:
                held &= _row(kind, turns)
    return held


@dataclass
class _Turn:
    """By kind, and for nobody beside it, the part of the rate that was kept, and the 99th percentile of latency in
    seconds."""

    rates: dict[str, float] = field(default_factory=dict)
    delays: dict[str, float] = field(default_factory=dict)
    others: float = 0.0
    """Cores that others took."""


def _turns(path: Path, kinds: Sequence[str], seconds: float) -> list[_Turn]:
    played: list[_Turn] = []
    calm: list[_Turn] = []
    while len(calm) < ROUNDS and len(played) < 2 * ROUNDS:
        played.append(_play(path, kinds, seconds))
        calm += [one for one in played[-1:] if one.others <= OTHERS]
    return calm if len(calm) >= ROUNDS else played


def _play(path: Path, kinds: Sequence[str], seconds: float) -> _Turn:
    began, spent, busy = time.monotonic(), _spent(), _busy()
    found = _Turn()
    capacity, _ = _measure(path, ALONE, seconds / 2, rate=None)
    for kind in (ALONE, *kinds):
        rate, found.delays[kind] = _measure(path, kind, seconds, capacity / 2)
        found.rates[kind] = rate * 2 / capacity
    found.others = (_busy() - busy - (_spent() - spent)) / (time.monotonic() - began)
    return found


def _row(kind: str, turns: Sequence[_Turn]) -> bool:
    rate, alone = median(turn.rates[kind] for turn in turns), median(turn.rates[ALONE] for turn in turns)
    delay, usual = median(turn.delays[kind] for turn in turns), median(turn.delays[ALONE] for turn in turns)
    low, _, high = quantiles([turn.delays[kind] / turn.delays[ALONE] for turn in turns], n=4)
    good = rate >= RATE * alone and delay <= LATENCY * usual
    said = "" if good else "  not held"
    others = median(turn.others for turn in turns)
    print(
        f"{kind:<16}{rate:7.3f}{usual * 1e3:8.2f}{delay * 1e3:8.2f}{delay / usual:7.2f}{low:12.2f} to {high:5.2f}"
        f"{others:7.2f}{said}",
        flush=True,
    )
    return good


def _spent() -> float:
    """Seconds of processor time of this process and of the children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy() -> float:
    """Seconds that cores have worked for anyone, this machine's host included, since its start."""
    fields = list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))
    return (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")


def _measure(path: Path, kind: str, seconds: float, rate: float | None) -> tuple[float, float]:
    """Messages a second through the healthy graph, and the 99th percentile of their latency in seconds."""
    healthy = Endless([PAYLOAD] * 16, rate)
    plans, ends = [planned(path, HEALTHY, "healthy.yaml")], {"healthy": healthy}
    if kind != ALONE:
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
