"""What belongs to one node while it runs: made together, swapped together, given back together."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flowrt.counters import ModelCounters
from flowrt.endpoints.base import Sink
from flowrt.quota.pool import Pool
from flowrt.runtime.node import Node
from flowrt.runtime.stage import Stage
from flowrt.values import Struct, field


class NodeParts(Struct, eq=False):
    """One node with everything that was opened for it."""

    node: Node
    pool: Pool
    """The account of what is held for it."""
    guest: bool = False
    """Whether its quota is a guest's, which payloads that wait before it count against."""
    sink: Sink | None = None
    """Of a sink operation, where it sends."""
    side: tuple[tuple[Stage, Sink], ...] = ()
    """Beside it, what publishes for `onError.topic`."""
    model_runs: Mapping[str, ModelCounters] | None = None
    """By model, what it runs; a guest may come to others later."""
    closers: list[Callable[[], None]] = field(default_factory=list)
    """What to give back when it ends, last first."""

    _started: bool = False

    def start(self) -> None:
        """Start its ends, which a node that is put into a running graph brings along. Returns at once; safe to call
        twice."""
        if self._started:
            return
        self._started = True
        for sink in self.sinks():
            sink.start()
        for stage, _ in self.side:
            stage.start()

    def sinks(self) -> list[Sink]:
        """Every sink that is its own."""
        return [*([self.sink] if self.sink is not None else []), *(sink for _, sink in self.side)]

    def close(self) -> None:
        """Give back what was opened for its operator. Safe to call twice."""
        while self.closers:
            self.closers.pop()()

    def retire(self, timeout: float) -> bool:
        """End a node that is no longer part of its graph: what it has sent is confirmed first, within `timeout` seconds
        for each of its ends. Whether it was."""
        done = [stage.finish(timeout) for stage, _ in self.side]
        done += [sink.flush(timeout) for sink in self.sinks()]
        for sink in self.sinks():
            sink.close()
        for stage, _ in self.side:
            if not stage.ended():
                stage.abandon()
        self.close()
        return all(done)
