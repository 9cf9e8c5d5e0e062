"""A graph at work: stages, ends, and the order in which they start and stop."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic

from flowrt.counters import UpdateCounters
from flowrt.endpoints.base import Deliver, Sink, Source, Stopped
from flowrt.events import Emit, GraphReady, GraphStarted, GraphStopped
from flowrt.graph.plan import Plan
from flowrt.quota.bucket import Bucket
from flowrt.quota.pool import Pool
from flowrt.quota.resources import Budget
from flowrt.runtime.ends import Entrance
from flowrt.runtime.parts import NodeParts
from flowrt.runtime.stage import Stage
from flowrt.runtime.surroundings import Ends
from flowrt.runtime.timing import Timing
from flowrt.values import Struct

ABANDON_SECONDS = 2.0
"""After the drain time is up, how long a stage may take to notice: more than a guest's default deadline."""


class Shared(Struct, frozen=True):
    """What the nodes of one graph have in common, also those that are put into it later."""

    stopping: threading.Event
    budgets: Sequence[Bucket]
    """Shares of the processor that all nodes charge."""
    pool: Pool | None
    """What all nodes may hold together."""
    endpoints: Ends
    interrupt: Callable[[], None]
    """Has guests' calls looked at: those of a graph that ends are ended."""
    own: Bucket | None = None
    """Of the budgets, the graph's own."""

    def bound(self, budget: Budget) -> None:
        """Other figures for what there is a bound for already."""
        if self.own is not None and budget.cpu is not None:
            self.own.share_of(budget.cpu)
        if self.pool is not None and budget.memory is not None:
            self.pool.bound(budget.memory)


class RunningGraph:
    """Made by `build`; started once, stopped once. Between, `runtime/swap.py` may exchange its nodes."""

    def __init__(
        self,
        plan: Plan,
        parts: Mapping[str, NodeParts],
        entrances: Mapping[str, Entrance],
        stages: Sequence[Stage],
        sources: Mapping[str, Source],
        shared: Shared,
        emit: Emit,
        timing: Timing | None = None,
    ) -> None:
        """`stages` are the plan's, in its order."""
        self.name = plan.name
        self.entrances = entrances
        self.sources = sources
        self.shared = shared
        self.timing = timing
        """What moves logical time; None for a graph that needs none."""
        self.swapping = threading.Lock()
        """Held while nodes are exchanged, and by a stop."""
        self.stopped = False
        self.updates = UpdateCounters()
        self._ends_left = len(sources)
        self._ends_lock = threading.Lock()
        self.take(plan, parts, stages)
        self._stopping = shared.stopping
        self._emit = emit
        self._started = 0.0
        self._announced = False
        self.finished = threading.Event()
        """Set when every source has come to its end; never, while one of them has none."""

    def take(
        self,
        plan: Plan,
        parts: Mapping[str, NodeParts],
        stages: Sequence[Stage],
        entrances: Mapping[str, Entrance] | None = None,
    ) -> None:
        """Consist of these; of other `entrances` only where some are given. For `build` and `swap`."""
        if entrances is not None:
            self.entrances = entrances
        self.plan = plan
        self.parts = parts
        self.plan_stages = stages
        self.stages = [*stages, *(stage for part in parts.values() for stage, _ in part.side)]
        """Those of the plan in its order, then those that publish beside it."""
        self.nodes = {name: part.node for name, part in parts.items()}
        self.sinks = {name: part.sink for name, part in parts.items() if part.sink is not None}
        self.model_runs = {name: part.model_runs for name, part in parts.items() if part.model_runs is not None}
        """By node and model, what was run."""
        self._all_sinks = [sink for part in parts.values() for sink in part.sinks()]

    def start(self) -> None:
        """Start from the back, so that nothing is delivered to what is not there yet. Returns at once."""
        self._started = monotonic()
        for sink in self._all_sinks:
            sink.start()
        if self.timing is not None:
            self.timing.start()
        for stage in self.stages:
            stage.start()
        for name, source in self.sources.items():
            source.start(self.deliver_to(name), partial(self._one_ended, name))
        if self.timing is not None:
            self.timing.start_ticking()
        self._emit(GraphStarted(self.name, len(self.plan.nodes), len(self.stages)))

    def open(self, name: str, source: Source) -> None:
        """Read from one source more, which is not started."""
        with self._ends_lock:
            self._ends_left += 1
        self.sources = {**self.sources, name: source}
        source.start(self.deliver_to(name), partial(self._one_ended, name))

    def close(self, name: str) -> Source:
        """Forget a source, which nobody is told of as ended. It is the caller's to stop."""
        sources = dict(self.sources)
        source = sources.pop(name)
        self.sources = sources
        self._less_by_one()
        return source

    def deliver_to(self, source: str) -> Deliver:
        """Where a source delivers."""
        timed = self.timing.entrances.get(source) if self.timing is not None else None
        return timed.deliver if timed is not None else self.entrances[source].deliver

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
        return all(stage.idle() for stage in self.stages) and all(
            sink.flush(0.0) and sink.empty() for sink in self._all_sinks
        )

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
        with self.swapping:
            self.stopped = True
        broken = self.broken()
        for source in self.sources.values():
            source.stop()
        if self.timing is not None:
            self.timing.stop_ticking()
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
        for part in reversed(list(self.parts.values()) if ended else []):
            part.close()
        self._emit(GraphStopped(self.name, drained))
        return ended

    def _abandon(self) -> None:
        """Free the threads: closing a sink ends a `send` that waits for a broker."""
        for sink in self._all_sinks:
            sink.close()
        for stage in self.stages:
            stage.abandon()
        self.shared.interrupt()
        for stage in self.stages:
            stage.join(ABANDON_SECONDS)

    def _one_ended(self, source: str) -> None:
        if self.timing is not None:
            with suppress(Stopped):  # what is open is kept
                self.timing.end(source)
        self._less_by_one()

    def _less_by_one(self) -> None:
        with self._ends_lock:
            self._ends_left -= 1
            if self._ends_left == 0:
                self.finished.set()
