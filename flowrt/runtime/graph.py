"""A graph at work: stages, ends, and the order in which they start and stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from time import monotonic

from flowrt.counters import ModelCounters
from flowrt.endpoints.base import Sink, Source
from flowrt.events import Emit, GraphReady, GraphStarted, GraphStopped
from flowrt.graph.plan import Plan
from flowrt.runtime.ends import Entrance
from flowrt.runtime.node import Node
from flowrt.runtime.stage import Stage

ABANDON_SECONDS = 2.0
"""After the drain time is up, how long a stage may take to notice: more than a guest's default deadline."""


class RunningGraph:
    """Made by `build`; started once, stopped once."""

    def __init__(
        self,
        plan: Plan,
        *,
        nodes: Mapping[str, Node],
        entrances: Mapping[str, Entrance],
        stages: Sequence[Stage],
        sources: Mapping[str, Source],
        sinks: Mapping[str, Sink],
        extra_sinks: Sequence[Sink],
        model_runs: Mapping[str, Mapping[str, ModelCounters]],
        closers: Sequence[Callable[[], None]],
        stopping: threading.Event,
        emit: Emit,
    ) -> None:
        self.name = plan.name
        self.plan = plan
        self.nodes = nodes
        self.entrances = entrances
        self.stages = stages
        self.sources = sources
        self.sinks = sinks
        self.model_runs = model_runs
        """By node and model, what was run."""
        self._all_sinks = [*sinks.values(), *extra_sinks]
        self._closers = closers
        self._stopping = stopping
        self._emit = emit
        self._started = 0.0
        self._announced = False
        self._ends_left = len(sources)
        self._ends_lock = threading.Lock()
        self.finished = threading.Event()
        """Set when every source has come to its end; never, while one of them has none."""

    def start(self) -> None:
        """Start from the back, so that nothing is delivered to what is not there yet. Returns at once."""
        self._started = monotonic()
        for sink in self._all_sinks:
            sink.start()
        for stage in self.stages:
            stage.start()
        for name, source in self.sources.items():
            source.start(self.entrances[name].deliver, self._one_ended)
        self._emit(GraphStarted(self.name, len(self.plan.nodes), len(self.stages)))

    def ready(self) -> bool:
        """Whether every subscription is acknowledged and every sink connected."""
        ends: tuple[Source | Sink, ...] = (*self.sources.values(), *self._all_sinks)
        if not all(end.ready() for end in ends):
            return False
        if not self._announced:
            self._announced = True
            self._emit(GraphReady(self.name, monotonic() - self._started))
        return True

    def done(self) -> bool:
        """Whether every source has come to its end and all that came of it is out."""
        if not self.finished.is_set():
            return False
        if self.broken():
            return True
        # Stages feed only later ones: one that is idle when those before it are stays so.
        return all(stage.idle() for stage in self.stages) and all(sink.flush(0.0) for sink in self._all_sinks)

    def broken(self) -> list[str]:
        """Stages and ends whose thread has ended although nobody asked it to: a fault of ours, which only a restart
        mends."""
        ends: Sequence[tuple[str, Source | Sink]] = [*self.sources.items(), *self.sinks.items()]
        stages = [stage.name for stage in self.stages if stage.broken()]
        return stages + [f"{self.name}/{name}" for name, end in ends if end.broken()]

    def stop(self, timeout: float) -> bool:
        """Read nothing more, handle what is under way, send it, acknowledge it, and end. What cannot be finished in
        `timeout` seconds stays unacknowledged at its source. False when a thread could not be ended: it is deep in a
        call of a guest or a model, and what it uses must be left to it."""
        until = monotonic() + timeout
        broken = self.broken()
        for source in self.sources.values():
            source.stop()
        # Stages feed only later ones: ending them in order drains the graph.
        finished = [stage.finish(max(0.0, until - monotonic())) for stage in self.stages]
        flushed = [sink.flush(max(0.0, until - monotonic())) for sink in self._all_sinks]
        drained = all(finished) and all(flushed) and not broken
        self._stopping.set()
        if not drained:
            self._abandon()
        ends: tuple[Source | Sink, ...] = (*self.sources.values(), *self._all_sinks)
        for end in ends:
            end.close()
        ended = all(stage.ended() for stage in self.stages)
        for close in reversed(self._closers if ended else ()):
            close()
        self._emit(GraphStopped(self.name, drained))
        return ended

    def _abandon(self) -> None:
        """Free the threads: closing a sink ends a `send` that waits for a broker."""
        for sink in self._all_sinks:
            sink.close()
        for stage in self.stages:
            stage.abandon()
        for stage in self.stages:
            stage.join(ABANDON_SECONDS)

    def _one_ended(self) -> None:
        with self._ends_lock:
            self._ends_left -= 1
            if self._ends_left == 0:
                self.finished.set()
