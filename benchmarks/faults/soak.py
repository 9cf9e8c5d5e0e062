"""`python -m benchmarks.faults soak --minutes 60`: load for an hour, links cut every minute, and nothing may grow.

After a warm-up of a tenth of the time (two minutes at least), the process's own memory is fitted with a straight line.
Threads and descriptors are compared at moments at which all links stand.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from benchmarks.faults.broker import FORGETS
from benchmarks.faults.world import Scale, Scenario, World, keep_log
from benchmarks.processes import BenchError

RATE = 200.0
SAMPLE_SECONDS = 5.0
CUT_EVERY = 60.0
GROWTH_MAX = 1.0
"""MiB an hour."""
SETTLED_SECONDS = 3.0
"""After a cut; then threads and descriptors are as without one."""


@dataclass(frozen=True, slots=True)
class Sample:
    at: float
    """Seconds since the start."""
    memory: float
    """MiB that are the process's own (anonymous, resident)."""
    threads: int
    descriptors: int


def sample(pid: int, at: float) -> Sample:
    fields = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    descriptors = len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - the names alone
    return Sample(at, int(fields["RssAnon"].split()[0]) / 1024, int(fields["Threads"]), descriptors)


def growth(samples: Sequence[Sample]) -> float:
    """MiB an hour, by the line that fits best."""
    return statistics.linear_regression([one.at for one in samples], [one.memory for one in samples]).slope * 3600


def leaks(samples: Sequence[Sample]) -> list[str]:
    """What there is more of in the last fifth than in the first, in the median."""
    fifth = max(1, len(samples) // 5)
    found = []
    for name in ("threads", "descriptors"):
        before = statistics.median(getattr(one, name) for one in samples[:fifth])
        after = statistics.median(getattr(one, name) for one in samples[-fifth:])
        if after > before:
            found.append(f"{name}: {before:g}, then {after:g}")
    return found


def soak(world: World, seconds: float, cut_every: float) -> Iterator[Sample]:
    """Load, with one link or the other cut now and then."""
    world.start()
    started = monotonic()
    next_cut = cut_every
    while (now := monotonic() - started) < seconds:
        sleep(SAMPLE_SECONDS)
        yield sample(world.system.process.pid, now)
        if now >= next_cut:
            next_cut = now + cut_every
            link = world.random.choice((world.source_link, world.sink_link))
            link.cut()
            world.interrupted()
            sleep(1.0)
            link.restore()
            sleep(SETTLED_SECONDS)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60, help="how long (default 60)")
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--dead", type=int, default=1, metavar="N", help="dead letters of a hundred messages (default 1)"
    )
    parser.add_argument(
        "--cut-every", type=float, default=CUT_EVERY, metavar="SECONDS", help="between cuts of a link (default 60)"
    )
    parser.add_argument("--no-cuts", action="store_true", help="leave the links alone")
    options = parser.parse_args(words)
    seconds = options.minutes * 60
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    warm_up = max(seconds / 10, min(120.0, seconds / 2))
    scale = Scale(messages=int(seconds * RATE), rate=RATE)
    scenario = Scenario("soak", "soak", lambda _: None, broker=FORGETS, oversized=options.dead)
    samples: list[Sample] = []
    print(f"seed {seed}; {scale.messages:,} messages, warm-up {warm_up:.0f} s", flush=True)
    with World(scenario, seed, scale) as world:
        try:
            for one in soak(world, seconds, math.inf if options.no_cuts else options.cut_every):
                samples.append(one)
                if len(samples) % 12 == 0:
                    print(
                        f"{one.at:6.0f} s  {one.memory:.1f} MiB  {one.threads} threads  {one.descriptors} descriptors",
                        flush=True,
                    )
            world.publisher.stop_here()
            world.settle()
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 1
        result = world.result()
        if not result.kept:
            print(f"the log: {keep_log(world, result)}")
    warm = [one for one in samples if one.at >= warm_up]
    slope, found = growth(warm), leaks(warm)
    print(f"{result.sent} sent, {result.received} out, {result.dead} dead letters, {result.lost} lost,", end=" ")
    print(f"{result.duplicated} doubled (bound {result.bound}), {result.reordered} out of order")
    print(f"memory {warm[0].memory:.1f} to {warm[-1].memory:.1f} MiB, {slope:+.2f} MiB an hour; ", end="")
    print("; ".join(found) or f"{warm[-1].threads} threads, {warm[-1].descriptors} descriptors, none leaked")
    return int(not result.kept or slope > GROWTH_MAX or bool(found))
