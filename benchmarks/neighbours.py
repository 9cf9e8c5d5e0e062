"""What a hostile node under its declared quota does to a healthy graph in the same runtime: ratios within one run.

The healthy graph is fed at half of what it can do alone. Beside the hostile one it must keep 90 % of that rate, and its
99th percentile of latency may at most double.

What else the machine does, and the machine's own host, makes one moment many times as slow as the next. So there are
many short windows, in turn: what the graph can do, alone at half of that, beside a few kinds of hostility at the same
rate, and again; then the next few. A turn in which the machine changed its speed is played again, and of each window
those quarters of a second count during which, and during the one before, the host left us our cores. Compared are
medians of the 99th percentiles of these. When there are too few of them, all turns and parts count, and the row says
"a busy machine".
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median, quantiles

from benchmarks import hostile
from benchmarks.inprocess import Endless, planned
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings

ALONE = ""
AT_ONCE = 3
"""Kinds that take turns: what the graph can do is measured anew after so many."""
PART = 0.25
"""Seconds of which there is one 99th percentile: of some hundred batches."""
PARTS = 24
"""So many for each kind, at least."""
TURNS = 4, 14
"""At least and at most."""
WINDOW = 1.5
"""Seconds."""
STOLEN = 0.05
"""Cores that the host may take from this machine during a part that counts."""
STEADY = 0.8
"""The part of what the graph can do at one end of a turn that it can do at the other, at least."""
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
    print(f"{'beside':<16}{'rate':>7}{'alone':>8}{'beside':>8}{'ratio':>7}{'quarters':>16}{'parts':>7}{'others':>8}")
    held = True
    with tempfile.TemporaryDirectory() as name:
        for start in range(0, len(kinds), AT_ONCE):
            turns = _turns(Path(name), kinds[start : start + AT_ONCE], min(seconds, WINDOW))
            for kind in kinds[start : start + AT_ONCE]:
                held &= _row(kind, turns)
    return held


@dataclass
class _Window:
    rate: float
    """Messages a second."""
    calm: list[float]
    """The 99th percentile of latency in seconds of each part that counts."""
    every: list[float]
    """The same of all parts."""


@dataclass
class _Turn:
    capacity: float
    windows: dict[str, _Window]
    """By kind, and for nobody beside it."""
    steady: bool
    """Whether it may be compared by its calm parts."""
    others: float
    """Cores that others took, this machine's host included."""


def _turns(path: Path, kinds: Sequence[str], seconds: float) -> list[_Turn]:
    fewest, most = TURNS
    played: list[_Turn] = []
    while len(played) < most:
        played.append(_play(path, kinds, seconds))
        steady = [turn for turn in played if turn.steady]
        if len(steady) >= fewest and _enough(steady, kinds):
            return steady
    return [replace(turn, steady=False) for turn in played]


def _enough(turns: Sequence[_Turn], kinds: Sequence[str]) -> bool:
    return all(len(_calm(turns, kind)) >= PARTS for kind in (ALONE, *kinds))


def _calm(turns: Sequence[_Turn], kind: str) -> list[float]:
    return [delay for turn in turns for delay in turn.windows[kind].calm]


def _play(path: Path, kinds: Sequence[str], seconds: float) -> _Turn:
    began, spent, busy = time.monotonic(), _spent(), _busy()
    capacity = _measure(path, ALONE, seconds / 2, rate=None).rate
    windows = {kind: _measure(path, kind, seconds, capacity / 2) for kind in (ALONE, *kinds)}
    again = _measure(path, ALONE, seconds / 2, rate=None).rate
    others = (_busy() - busy - (_spent() - spent)) / (time.monotonic() - began)
    return _Turn(capacity, windows, STEADY <= again / capacity <= 1 / STEADY, others)


def _row(kind: str, turns: Sequence[_Turn]) -> bool:
    rate = median(2 * turn.windows[kind].rate / turn.capacity for turn in turns)
    alone = median(2 * turn.windows[ALONE].rate / turn.capacity for turn in turns)
    usually, beside = _calm(turns, ALONE), _calm(turns, kind)
    busy = "" if all(turn.steady for turn in turns) else "  a busy machine"
    if busy:
        usually, beside = ([one for turn in turns for one in turn.windows[which].every] for which in (ALONE, kind))
    usual, delay = median(usually), median(beside)
    low, _, high = quantiles(beside, n=4)
    good = rate >= RATE * alone and delay <= LATENCY * usual
    others = median(turn.others for turn in turns)
    print(
        f"{kind:<16}{rate:7.3f}{usual * 1e3:8.2f}{delay * 1e3:8.2f}{delay / usual:7.2f}"
        f"{low / usual:7.2f} to {high / usual:5.2f}{len(beside):7}{others:8.2f}{busy}{'' if good else '  not held'}",
        flush=True,
    )
    return good


def _spent() -> float:
    """Seconds of processor time of this process and of the children that have ended."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _busy() -> float:
    """Seconds that cores have worked for anyone, this machine's host included, since its start."""
    ticks = _ticks()
    return (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")


def _stolen() -> float:
    """Seconds in which the host took a core from this machine, since its start."""
    return _ticks()[7] / os.sysconf("SC_CLK_TCK")


def _ticks() -> list[int]:
    """Source: the first line of `/proc/stat`, proc_stat(5)."""
    return list(map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]))


def _measure(path: Path, kind: str, seconds: float, rate: float | None) -> _Window:
    """The healthy graph at a rate, or at what it can do."""
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
    calm, every = _watched(sink.delays, seconds)
    got, took = sink.received - before, time.monotonic() - began
    runtime.stop(0.1)
    gc.unfreeze()
    return _Window(got / took, calm, every)


def _watched(delays: list[float], seconds: float) -> tuple[list[float], list[float]]:
    """The 99th percentile of what comes into `delays` in each part of so many seconds: of calm ones, and of all. In a
    part in which nothing comes it is the part itself."""
    calm, every, before = [], [], False
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        start, stolen = len(delays), _stolen()
        time.sleep(min(PART, seconds))
        part = delays[start:]
        every.append(quantiles(part, n=100)[98] if len(part) > 1 else PART)
        left_alone = _stolen() - stolen <= STOLEN * PART
        if left_alone and before:
            calm.append(every[-1])
        before = left_alone
    return calm, every


def _settle(delays: list[float], rate: float | None) -> None:
    """Wait until the graph has worked off what came while it started, at most for some seconds."""
    time.sleep(0.3)
    late = time.monotonic() + 2
    while rate and (not delays or delays[-1] > CALM) and time.monotonic() < late:
        time.sleep(0.02)
