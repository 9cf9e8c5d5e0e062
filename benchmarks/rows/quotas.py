"""What the default quotas cost the pipeline with its broker: processor time a message, against the same without any.

Both run at the same time, on one core of their own, and get the same readings of one broker: whatever the machine is
slow at meets both alike. Where code and data of a process come to lie costs as much as quotas do, and more; so each
round starts both anew, and its ratio is the median over short loads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median

from benchmarks import systems
from benchmarks.broker import Broker
from benchmarks.load import check_verdict, mosquitto_loads
from benchmarks.processes import Process
from benchmarks.report import Row
from benchmarks.settings import Settings
from benchmarks.systems import HERE, System

GROUP = "pipeline"
ROUNDS = 4
"""Starts of both in one of the settings' rounds."""
LOADS = 6
"""Loads a start; the first warms up."""
MESSAGES = 10_000
"""In one load, at most."""


def rows(broker: Broker, settings: Settings) -> list[Row]:
    """The rows of this part."""
    without: list[float] = []
    ratios: list[float] = []
    for turn in settings.turns():
        shown = [_round(broker, settings, number) for number in range(ROUNDS)]
        without.append(median(cpu for cpu, _ in shown))
        ratios.append(median(ratio for _, ratio in shown))
        each = ", ".join(f"{ratio:.3f}" for _, ratio in shown)
        settings.say(f"quotas round {turn}: {each} x the {without[-1]:.1f} µs a message without")
    measure = "CPU a message with default quotas against none"
    return [
        Row(GROUP, "pipeline without quotas", "CPU a message", "µs", tuple(without)),
        Row(GROUP, "pipeline, QoS 0", measure, "×", tuple(ratios), at_most=1.03),
    ]


def _round(broker: Broker, settings: Settings, number: int) -> tuple[float, float]:
    """Microseconds a message without quotas, and how many times that with them."""
    cores = sorted(os.sched_getaffinity(0))
    with _both(broker, cores[-1 - number % len(cores)], first=number // len(cores) % 2) as both:
        count = min(MESSAGES, settings.messages)
        loads = [mosquitto_loads(broker, both, count) for _ in range(LOADS)][1:]
    return median(without.cpu for _, without in loads), median(own.cpu / without.cpu for own, without in loads)


@contextmanager
def _both(broker: Broker, core: int, first: int) -> Iterator[list[Process]]:
    """The pipeline with quotas and without, on one core; `first` says which of them is started first."""
    broker.restart()
    found: list[Process] = []
    makers = [systems.pipeline(), _other(systems.unbounded())]
    try:
        for system in makers[::-1] if first else makers:
            before = broker.subscriptions(system.filter)
            process = system.process()
            _start_on(core, process)
            found.append(process)
            broker.wait_subscribed(system.filter, before, process)
            process.wait_line("ready")
            if len(found) == 1:
                check_verdict(process)
        yield found[::-1] if first else found
    finally:
        for process in found:
            process.close()


def _other(system: System) -> System:
    """The same under another name at the broker."""
    graph = systems.BUILD / "pipeline-other.yaml"
    graph.parent.mkdir(parents=True, exist_ok=True)
    text = (HERE / "pipeline.yaml").read_text()
    graph.write_text(text.replace("bench-", "other-", 2).replace("models/", f"{HERE}/models/"))
    command = [str(graph) if part.endswith("pipeline.yaml") else part for part in system.command]
    return replace(system, command=command)


def _start_on(core: int, process: Process) -> None:
    """Start it on one core, where there are others for the broker."""
    cores = os.sched_getaffinity(0)
    if len(cores) > 1:
        os.sched_setaffinity(0, {core})
    try:
        process.start()
    finally:
        os.sched_setaffinity(0, cores)
