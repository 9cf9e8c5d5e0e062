"""What a node counts in its own process, on its way to the counters that metrics read.

The child tells what came on top since it told last; the parent believes no name that it does not know, or only so many.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import chain
from typing import Any, get_args

from flowrt.counters import Histogram, ModelCounters, NodeCounters
from flowrt.isolation.frame import BadFrame
from flowrt.nn.faults import Code

Runs = Mapping[str, ModelCounters]
"""By the model's name."""
CALLS_MAX = 100
"""Names of refused calls believed of one node: WASI has fewer that are ever refused."""
_CALL = re.compile(r"[\w.:/@#\[\]-]{1,120}", re.ASCII)
_SUM = -1
"""In the place of a histogram's bucket: the sum of all values."""
_PLAIN = {
    "linesLeftOut": "lines_left_out",
    "linesCut": "lines_cut",
    "stateRefused": "state_refused",
    "drifted": "drifted",
}
"""Counters that are one number, by the name they are told under."""
_HISTOGRAMS = ("inference", "rows")


class Counted:
    """The child's side."""

    def __init__(self, counters: NodeCounters, runs: Runs) -> None:
        self._counters, self._runs = counters, runs
        self._told: dict[tuple[Any, ...], float] = {}
        self._now = self._told

    def tell(self) -> list[list[Any]]:
        """What came on top since the last `heard`, a name and a number each."""
        self._now = dict(chain(_of_node(self._counters), _of_models(self._runs)))
        told = self._told
        return [[*key, value - told.get(key, 0)] for key, value in self._now.items() if value != told.get(key, 0)]

    def heard(self) -> None:
        """What was told last has been sent."""
        self._told = self._now


def believe(entries: object, counters: NodeCounters, runs: Runs) -> None:
    """The parent's side: add what a child tells. Raises `BadFrame` for what is no count."""
    if not isinstance(entries, list):
        raise BadFrame("counts that are no list")
    for entry in entries:
        match entry:
            case [*key, int() | float() as value] if value >= 0 or key[-1:] == [_SUM]:
                _believe(key, value, counters, runs)
            case _:
                raise BadFrame("a count that is none")


def _believe(key: list[Any], value: float, counters: NodeCounters, runs: Runs) -> None:
    own = counters.own
    match key, value:
        case ["denied", str(call)], int() if _CALL.fullmatch(call):
            if call in counters.denied or len(counters.denied) < CALLS_MAX:
                counters.denied[call] = counters.denied.get(call, 0) + value
        case ["nnRefused", str(code)], int() if code in get_args(Code):
            counters.nn_refused[code] = counters.nn_refused.get(code, 0) + value
        case ["ownRefused"], int():
            own.refused += value
        case [str(name)], int() if name in _PLAIN:
            setattr(counters, _PLAIN[name], getattr(counters, _PLAIN[name]) + value)
        case ["ownCounter", str(name), list(labels)], int():
            own.add(name, value, _labels(labels))
        case ["ownHistogram", str(name), list(labels), int(bucket)], _:
            if isinstance(histogram := own.histogram(name, _labels(labels)), Histogram):
                _add(histogram, bucket, value)
        case ["model", str(name), *rest], _ if name in runs:
            _believe_run(rest, value, runs[name])
        case _:
            raise BadFrame("a count of nothing known")


def _believe_run(key: list[Any], value: float, run: ModelCounters) -> None:
    match key, value:
        case ["fallback", str(reason)], int() if reason in _REASONS:
            run.fallbacks = {**run.fallbacks, reason: run.fallbacks.get(reason, 0) + value}
        case [str(what), int(bucket)], _ if what in _HISTOGRAMS:
            _add(getattr(run, what), bucket, value)
        case _:
            raise BadFrame("a count of nothing known")


_REASONS = ("engine", "memory", "time")


def _add(histogram: Histogram, bucket: int, value: float) -> None:
    if bucket == _SUM:
        histogram.sum += value
    elif 0 <= bucket < len(histogram.counts) and type(value) is int:
        histogram.counts[bucket] += value
    else:
        raise BadFrame("a bucket that no histogram has")


def _labels(given: list[Any]) -> tuple[tuple[str, str], ...]:
    match given:
        case [[str(), str()], *_] | [] if all(type(part) is str for pair in given for part in pair):
            return tuple((pair[0], pair[1]) for pair in given if len(pair) == 2)
    raise BadFrame("labels that are not texts")


def _of_node(counters: NodeCounters) -> Iterator[tuple[tuple[Any, ...], float]]:
    for call, count in counters.denied.items():
        yield ("denied", call), count
    for code, count in counters.nn_refused.items():
        yield ("nnRefused", code), count
    for name, field in _PLAIN.items():
        if count := getattr(counters, field):
            yield (name,), count
    if counters.own.refused:
        yield ("ownRefused",), counters.own.refused
    for (name, labels), held in counters.own.series.items():
        if isinstance(held, Histogram):
            yield from _of_histogram(("ownHistogram", name, labels), held)
        else:
            yield ("ownCounter", name, labels), held


def _of_models(runs: Runs) -> Iterator[tuple[tuple[Any, ...], float]]:
    for name, run in runs.items():
        for what in _HISTOGRAMS:
            yield from _of_histogram(("model", name, what), getattr(run, what))
        for reason, count in run.fallbacks.items():
            yield ("model", name, "fallback", reason), count


def _of_histogram(key: tuple[Any, ...], histogram: Histogram) -> Iterator[tuple[tuple[Any, ...], float]]:
    for bucket, count in enumerate(histogram.counts):
        if count:
            yield (*key, bucket), count
    if histogram.sum:
        yield (*key, _SUM), histogram.sum
