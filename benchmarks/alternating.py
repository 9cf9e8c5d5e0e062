"""Jobs that take turns on this thread, so that what the machine does meanwhile meets all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median
from typing import TypeVar

from benchmarks.settings import Settings

_Key = TypeVar("_Key")
SLICE_SECONDS = 0.3
"""How long each job is repeated in a round, in all."""
_TURNS_MIN = 5
_WARM = 3


def alternate(settings: Settings, jobs: Mapping[_Key, Callable[[], object]], times: int = 1) -> dict[_Key, list[float]]:
    """Processor microseconds a call of each job, round by round: the median over turns of `times` calls each, where
    jobs are so short that the clock would be seen."""
    shown: dict[_Key, list[float]] = {key: [] for key in jobs}
    for job in jobs.values():
        _cost(job, _WARM)
    for _ in settings.turns():
        costs: dict[_Key, list[float]] = {key: [] for key in jobs}
        until = time.perf_counter() + SLICE_SECONDS * len(jobs)
        while time.perf_counter() < until or len(next(iter(costs.values()))) < _TURNS_MIN:
            for key, job in jobs.items():
                costs[key].append(_cost(job, times))
        for key, found in costs.items():
            shown[key].append(median(found))
    return shown


def _cost(job: Callable[[], object], times: int) -> float:
    began = time.thread_time()
    for _ in range(times):
        job()
    return (time.thread_time() - began) / times * 1e6
