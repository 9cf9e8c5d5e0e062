"""What hot paths touch while messages pass: plain numbers, no locks, nobody else's code.

Each counter has one writing thread (or a lock of its owner's). Readers are `flowrt.metrics` and the live page, which
read whenever they are asked: a reading may be one batch behind, never wrong for good.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Mapping
from math import isfinite
from typing import Literal

SECONDS_PROCESSING = (0.00001, 0.00003, 0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""From a guest that only copies to a model that is too large for the gateway, two steps a decade."""
SECONDS_LATENCY = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 5.0, 30.0, 300.0)
"""From a message that met nobody to one that waited for a broker to come back."""
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
"""Messages in a batch."""


class Histogram:
    """How often a value was seen, by fixed bounds."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        """Upper bounds, rising, each including its own value."""
        self.counts = [0] * (len(bounds) + 1)
        """One for each bound, and one for what is above them all."""
        self.sum = 0.0

    def observe(self, value: float, count: int = 1) -> None:
        """Note a value that was seen `count` times."""
        self.counts[bisect_left(self.bounds, value)] += count
        self.sum += value * count

    @property
    def count(self) -> int:
        return sum(self.counts)


OWN_BOUNDS = tuple(step * 10.0**power for power in range(-3, 7) for step in (1, 3))
"""Of a guest's own histograms, whose unit is not known: a millisecond to a fortnight, a byte to megabytes."""
OWN_SERIES = 100
"""Series one node's guests may make, unless its `metricSeries` says otherwise: names times label values."""
_OWN_NAME = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]{0,199}")
_OWN_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]{0,99}")
_OWN_VALUE = 200
_OURS = ("flowrt_", "process_", "python_")
_TAKEN = ("graph", "node", "le")

Labels = tuple[tuple[str, str], ...]


class OwnMetrics:
    """The counters and histograms that a node's guests count themselves, under their own names."""

    def __init__(self) -> None:
        self.series_max = OWN_SERIES
        """How many there may be."""
        self.series: dict[tuple[str, Labels], int | Histogram] = {}
        """By name (a counter's without `_total`) and sorted labels."""
        self.refused = 0
        """Values with a name or labels that cannot be, or more series than a node may have."""
        self._kinds: dict[str, str] = {}

    def add(self, name: str, value: int, labels: Labels = ()) -> str | None:
        """Count up; gives what is wrong instead, or None."""
        key = (name.removesuffix("_total"), tuple(sorted(labels)))
        if key not in self.series:
            if (wrong := self._admit(*key, "counter")) is not None:
                return wrong
            self.series[key] = 0
        self.series[key] = self.series[key] + value  # type: ignore[operator]
        return None

    def observe(self, name: str, value: float, labels: Labels = ()) -> str | None:
        """Note a value; gives what is wrong instead, or None."""
        if not isfinite(value):
            self.refused += 1
            return "a value is a finite number"
        found = self.histogram(name, labels)
        if not isinstance(found, Histogram):
            return found
        found.observe(value)
        return None

    def histogram(self, name: str, labels: Labels = ()) -> Histogram | str:
        """The histogram of that name, made where there is none; else what is wrong."""
        key = (name, tuple(sorted(labels)))
        found = self.series.get(key)
        if not isinstance(found, Histogram):
            if (wrong := self._admit(*key, "histogram")) is not None:
                return wrong
            found = self.series[key] = Histogram(OWN_BOUNDS)
        return found

    def _admit(self, name: str, labels: Labels, kind: Literal["counter", "histogram"]) -> str | None:
        wrong = self._objection(name, labels, kind)
        if wrong is None:
            self._kinds[name] = kind
        else:
            self.refused += 1
        return wrong

    def _objection(self, name: str, labels: Labels, kind: str) -> str | None:
        if not _OWN_NAME.fullmatch(name) or name.startswith(_OURS):
            return "the name of a metric is letters, digits and _, and does not begin with flowrt_"
        if self._kinds.get(name, kind) != kind:
            return f"{name} is a {self._kinds[name]}"
        if len(self.series) >= self.series_max:
            return f"the node has at most {self.series_max} series"
        keys = [key for key, _ in labels]
        if len(set(keys)) != len(keys) or not all(map(_OWN_LABEL.fullmatch, keys)):
            return "labels are letters, digits and _, each once"
        if any(key.startswith("__") or key in _TAKEN for key in keys):
            return f"the labels {', '.join(_TAKEN)} and those that begin with __ are taken"
        if any(len(value) > _OWN_VALUE for _, value in labels):
            return f"a label's value has at most {_OWN_VALUE} characters"
        return None


class NodeCounters:
    """What one node did since it was made; a restart of its guest does not set it back."""

    __slots__ = (
        "batches",
        "bypassed",
        "checkpoint_bytes",
        "checkpoint_seconds",
        "checkpoints",
        "cpu_seconds",
        "dead_lettered",
        "denied",
        "disabled",
        "disables",
        "drifted",
        "dropped",
        "emitted",
        "faults",
        "filtered",
        "given_up",
        "late",
        "latency",
        "lines_cut",
        "lines_left_out",
        "nn_refused",
        "own",
        "processing",
        "rate_throttled_seconds",
        "rated_bytes",
        "received",
        "repeated",
        "restarts",
        "restored",
        "retries",
        "sent",
        "set_aside",
        "state_refused",
        "throttled_seconds",
        "windows",
    )

    def __init__(self) -> None:
        self.received = 0
        """Messages."""
        self.emitted = 0
        """Messages handed to the nodes behind it; a message for two nodes counts once."""
        self.sent = 0
        """Messages a sink gave to its endpoint."""
        self.filtered = 0
        """Messages left out on purpose."""
        self.dropped: dict[str, int] = {}
        """Messages by reason, a member of `flowrt.events.DROPS`."""
        self.faults: dict[str, int] = {}
        """Messages by kind, a member of `flowrt.events.FAULTS`."""
        self.dead_lettered = 0
        """Messages."""
        self.retries = 0
        """Messages tried again, once for each time."""
        self.restarts = 0
        """Fresh instances put in the place of trapped ones."""
        self.given_up = 0
        """Calls that slept with the host beyond their deadline, where nobody could end them."""
        self.bypassed = 0
        """Messages that passed on unchanged because the node was over a limit, failed on them or was switched off."""
        self.disables = 0
        """How often the node was switched off."""
        self.disabled = False
        """Whether it is at present."""
        self.batches = 0
        self.cpu_seconds = 0.0
        self.throttled_seconds = 0.0
        """Time the node waited because it was over its share of the processor, or its graph over its budget."""
        self.rate_throttled_seconds = 0.0
        """Time it waited because it was over its messages or bytes a second."""
        self.rated_bytes = 0
        """Payload bytes that entered, counted where a `byteRate` bounds them."""
        self.processing = Histogram(SECONDS_PROCESSING)
        """Seconds a batch took in the operator, restarts and retries included, the nodes behind it not."""
        self.latency = Histogram(SECONDS_LATENCY)
        """Seconds each message was under way from its source; sinks only."""
        self.nn_refused: dict[str, int] = {}
        """Calls of wasi-nn that its guest got an error for, by the error's name."""
        self.lines_left_out = 0
        """Log lines of its guest over `logLines`."""
        self.lines_cut = 0
        """Log lines of its guest that were too long and have lost their ends."""
        self.state_refused = 0
        """Calls of the state store that its guest got an error for."""
        self.late = 0
        """Messages that came after their time had passed."""
        self.drifted = 0
        """Messages whose sender's clock is too far ahead to be believed: at the source where an operation keeps time,
        else at a component."""
        self.windows = 0
        """Open at present."""
        self.checkpoints = 0
        """Writes of what it keeps."""
        self.checkpoint_seconds = 0.0
        self.checkpoint_bytes = 0
        self.repeated = 0
        """Messages that came again although they had been kept; they do not count twice."""
        self.restored = 0
        """Entries of a checkpoint that the node began with."""
        self.set_aside = 0
        """Entries of checkpoints that did not fit."""
        self.denied: dict[str, int] = {}
        """Calls of WASI that failed for want of a grant, by name."""
        self.own = OwnMetrics()
        """What a component counts through its `metrics` interface."""

    def drop(self, reason: str, count: int = 1) -> None:
        """Count messages that ended early."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count

    def fault(self, kind: str, count: int = 1) -> None:
        """Count messages the node failed on."""
        self.faults[kind] = self.faults.get(kind, 0) + count


class ModelCounters:
    """What one loaded model did, for all nodes that share it."""

    __slots__ = ("fallbacks", "inference", "rows")

    def __init__(self) -> None:
        self.fallbacks: Mapping[str, int] = {}
        """Messages that its declared fallback took, by the reason: engine, memory, time."""
        self.inference = Histogram(SECONDS_PROCESSING)
        """Seconds of each run of the engine, whatever its batch."""
        self.rows = Histogram(ROWS)
        """Messages in each run."""


SECONDS_PAUSE = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""From an exchange between two messages to one that waited for a model."""
UPDATE_ENDS = ("proven", "refused", "rolledBack")
"""How an update ends."""


class UpdateCounters:
    """What became of a graph's updates since the program started."""

    __slots__ = ("commands", "ended", "looks", "pause", "reasons", "under_way")

    def __init__(self) -> None:
        self.ended = dict.fromkeys(UPDATE_ENDS, 0)
        self.reasons: dict[str, int] = {}
        """Updates that failed, by the first word of the reason, a member of `UPDATE_REASONS`."""
        self.under_way = 0
        """Whether one is at present."""
        self.pause = Histogram(SECONDS_PAUSE)
        """Seconds for which messages stood still while nodes were exchanged."""
        self.commands: dict[str, int] = {}
        """Commands by what became of them, a member of `COMMANDS`."""
        self.looks: dict[str, int] = {}
        """Looks for new versions by what was found, a member of `LOOKS`."""


UPDATE_REASONS = ("init", "golden", "shape", "state", "traps", "faults", "latency", "memory", "drift", "rest", "asked",
                  "ready", "repeated", "other")  # fmt: skip
"""Why updates fail: what `flowrt_update_failures_total` is labelled with."""


COMMANDS = ("taken", "size", "malformed", "key", "signature", "audience", "expired", "replayed", "unknown", "topic",
            "busy")  # fmt: skip
"""What becomes of commands: `flowrt_update_commands_total` is labelled with it."""
LOOKS = ("same", "new", "failed", "known", "waiting")
"""What a look for a new version finds: nothing, something that is tried, nobody, what failed before, or something that
has to wait for another update."""


class RegistryCounters:
    """What became of the models that all nodes share. Locked by its owner."""

    __slots__ = ("evicted", "loads", "shared")

    def __init__(self) -> None:
        self.loads = 0
        """Models read from their file or bytes."""
        self.shared = 0
        """Times that a model was there already."""
        self.evicted = 0
        """Models released because too many that nobody used were loaded."""

    def samples(self) -> list[tuple[tuple[str], int]]:
        return [(("load",), self.loads), (("shared",), self.shared), (("evicted",), self.evicted)]


REGISTRY = RegistryCounters()
"""Of this process."""


class StoreCounters:
    """What the store and compiled code take on disk, as it was looked at last; in bytes."""

    __slots__ = ("budget", "code", "evicted", "needed", "store")

    def __init__(self) -> None:
        self.budget = 0
        self.store = 0
        self.code = 0
        self.needed = 0
        """Of both, what running versions and those before them need."""
        self.evicted = 0
        """Files that gave way, since the program started."""

    def samples(self) -> list[tuple[tuple[str], int]]:
        return [
            (("store",), self.store),
            (("code",), self.code),
            (("needed",), self.needed),
            (("budget",), self.budget),
        ]


STORE = StoreCounters()
"""Of this process."""
