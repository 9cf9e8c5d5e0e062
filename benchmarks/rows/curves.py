"""How throughput, processor time and memory grow with topics, graphs, chain length and payload size.

Loads are encoded beforehand and sent in one piece, round-robin over the topics. Points of one curve take turns, like
systems elsewhere. Each curve becomes a chart in docs/performance/ with `--write`, in results/ otherwise.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import median

from benchmarks import graphs, systems
from benchmarks.broker import Broker
from benchmarks.load import READING, packet_load
from benchmarks.plot import Line, svg
from benchmarks.processes import BenchError
from benchmarks.report import RESULTS, Row, broken, ratios
from benchmarks.rows.micro import slope
from benchmarks.settings import Settings
from benchmarks.systems import System, running

GROUP = "curves"
TOPICS = (10, 100, 1000)
GRAPHS = (1, 10, 50)
CHAINS = (1, 2, 4, 8, 16, 32)
HOP_CHAINS = 16
"""Longest chain that counts for the cost of a hop."""
PAYLOADS = (64, 1024, 16 * 1024, 128 * 1024, 1024 * 1024)
LOAD_BYTES = 64 * 2**20
"""A load carries no more payload than this, so that large payloads are measured in as short a time as small ones."""
WORKERS = (1, 2, 4, 8)
BUSY_SECONDS, BUSY_MESSAGES = 100e-6, 20_000
LOADS = 2
"""Loads of one process; the first one warms it up."""


@dataclass(frozen=True)
class Point:
    """One x of a curve: what runs and what it is fed."""

    x: int
    system: System
    topics: Sequence[str]
    payload: bytes = READING


@dataclass
class Shown:
    rate: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)
    resident: list[float] = field(default_factory=list)


def rows(broker: Broker, settings: Settings) -> list[Row]:
    """All rows of this group; draws the charts on the way."""
    curves: Mapping[str, tuple[str, Callable[[Settings], list[Point]]]] = {
        "topics": ("topics", topics),
        "graphs": ("graphs in one process", several_graphs),
        "chain": ("guests in a row", chains),
        "payload": ("payload bytes", payloads),
    }
    found: list[Row] = []
    for name, (label, points_of) in curves.items():
        if not settings.wants(name):
            continue
        points = points_of(settings)
        try:
            shown = _alternate(broker, settings, name, points)
        except BenchError as error:
            settings.say(f"{name}: {error}")
            found.append(broken(GROUP, name, str(error)))
            continue
        found += _rows(label, shown)
        _draw(name, label, points, shown, settings)
        if name == "chain":
            found.append(_hop(shown, settings))
    if settings.wants("workers"):
        found += workers(broker, settings)
    return found


def workers(broker: Broker, settings: Settings) -> list[Row]:
    """A guest that computes for some 100 µs a message, in as many processes as there are cores and in fewer."""
    cores = len(os.sched_getaffinity(0))
    system = systems.flowrt(graphs.busy(BUSY_SECONDS), verdicts=False)
    topics = _round_robin("in/t", 100, min(settings.messages, BUSY_MESSAGES))
    points = [
        Point(count, replace(system, command=[*system.command, "--workers", str(count)]), topics)
        for count in WORKERS
        if count <= cores
    ]
    shown = _alternate(broker, settings, "workers", points)
    found = [Row(GROUP, f"{x} workers, a guest of 100 µs", "messages/s", "", tuple(shown[x].rate)) for x in shown]
    return found + [
        Row(
            GROUP,
            f"{x} workers, a guest of 100 µs",
            "messages/s against one",
            "×",
            ratios(shown[x].rate, shown[1].rate),
        )
        for x in shown
        if x > 1
    ]


def topics(settings: Settings) -> list[Point]:
    """One pass-through guest; the load goes to 10, 100, 1,000 topics in turn."""
    system = systems.flowrt(graphs.chain(1), verdicts=False)
    return [Point(count, system, _round_robin("in/t", count, settings.messages)) for count in TOPICS]


def several_graphs(settings: Settings) -> list[Point]:
    """Graphs of one guest each, each with topics of its own."""
    return [
        Point(
            count,
            systems.flowrt_of(graphs.several(count), filter=f"in/g{count - 1}/#"),
            [f"{topic}/a" for topic in _round_robin("in/g", count, settings.messages)],
        )
        for count in GRAPHS
    ]


def chains(settings: Settings) -> list[Point]:
    """1 to 32 pass-through guests in a row."""
    load = ["in/a"] * settings.messages
    return [Point(length, systems.flowrt(graphs.chain(length), verdicts=False), load) for length in CHAINS]


def payloads(settings: Settings) -> list[Point]:
    """64 B to 1 MB through one pass-through guest."""
    system = systems.flowrt(graphs.chain(1), verdicts=False)
    counts = {size: max(20, min(settings.messages, LOAD_BYTES // size)) for size in PAYLOADS}
    return [Point(size, system, ["in/a"] * counts[size], b"x" * size) for size in PAYLOADS]


def _round_robin(stem: str, topics: int, messages: int) -> list[str]:
    return [f"{stem}{index % topics}" for index in range(messages)]


def _alternate(broker: Broker, settings: Settings, name: str, points: Sequence[Point]) -> dict[int, Shown]:
    shown = {point.x: Shown() for point in points}
    for turn in settings.turns():
        for point in points:
            with running(point.system, broker) as process:
                loads = [packet_load(broker, process, point.topics, point.payload) for _ in range(LOADS)]
                resident = process.resident_bytes() / 1e6
            figures = shown[point.x]
            figures.rate.append(loads[-1].rate)
            figures.cpu.append(loads[-1].cpu)
            figures.resident.append(resident)
            settings.say(
                f"{name} round {turn}: {point.x}: {loads[-1].rate:,.0f} messages/s, {loads[-1].cpu:.1f} µs CPU a "
                f"message, {resident:.0f} MB"
            )
    return shown


def _rows(label: str, shown: Mapping[int, Shown]) -> list[Row]:
    found = []
    for x, figures in shown.items():
        work = f"{x:,} {label}"
        found.append(Row(GROUP, work, "messages/s", "", tuple(figures.rate)))
        found.append(Row(GROUP, work, "CPU a message", "µs", tuple(figures.cpu)))
        found.append(Row(GROUP, work, "resident", "MB", tuple(figures.resident)))
    return found


def _hop(shown: Mapping[int, Shown], settings: Settings) -> Row:
    lengths = tuple(length for length in CHAINS if length <= HOP_CHAINS)
    values = tuple(slope(lengths, [shown[length].cpu[turn] for length in lengths]) for turn in range(settings.rounds))
    work = f"1 to {HOP_CHAINS} pass-through guests in a row, from broker to broker"
    return Row(GROUP, work, "CPU a hop, a message", "µs", values, at_most=3)


def _draw(name: str, label: str, points: Sequence[Point], shown: Mapping[int, Shown], settings: Settings) -> None:
    xs = [point.x for point in points]
    lines = [
        Line("messages/s", xs, [median(shown[x].rate) for x in xs]),
        Line("CPU µs a message", xs, [median(shown[x].cpu) for x in xs]),
        Line("resident MB", xs, [median(shown[x].resident) for x in xs]),
    ]
    path = charts(settings) / f"{name}.svg"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(svg(f"{label[0].upper()}{label[1:]}", label, "messages/s, µs, MB", lines))
    settings.say(f"drawn: {path}")


def charts(settings: Settings) -> Path:
    """Where charts go."""
    return RESULTS.parent.parent / "docs" / "performance" if settings.write else RESULTS
