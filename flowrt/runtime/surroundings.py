"""What graphs of one process share: the engine, the models, the dead-letter store, where events go."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from flowrt.counters import REGISTRY
from flowrt.delivery.deadletters import DeadLetters
from flowrt.endpoints.base import Sink, Source
from flowrt.endpoints.registry import Endpoints, Refused
from flowrt.events import Emit
from flowrt.logicaltime.clock import GraphClock
from flowrt.operators.base import Operator
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.options import Options
from flowrt.quota.bucket import Bucket, SharedBucket
from flowrt.quota.pool import Pool
from flowrt.quota.resources import NO_BUDGET, Budget
from flowrt.runtime.places import STATE_STORE
from flowrt.state.checkpoints import CheckpointStore
from flowrt.state.store import StateStore

if TYPE_CHECKING:
    from flowrt.nn.registry import Models
    from flowrt.wasm.cache import CodeCache
    from flowrt.wasm.engine import Engine


class Ends(Protocol):
    """Opens the sources and sinks of one graph."""

    def source(self, operation: SourceOperation) -> Source: ...

    def sink(self, operation: SinkOperation, on_refused: Refused | None = None) -> Sink: ...


@runtime_checkable
class Learning(Protocol):
    """Ends of a graph that may get more endpoints while it runs."""

    def learn(self, options: Mapping[str, Options]) -> None: ...


@dataclass
class Surroundings:
    """Made once a process. What a graph may not need (the engine, the models) is made at its first use."""

    emit: Emit
    state: Path
    """Folder for what must survive a restart."""
    interpreter: bool = False
    """Run guests in the engine's interpreter, for services that may not map executable memory."""
    broker: tuple[str, int] | None = None
    """Host and port that take the place of every MQTT endpoint's."""
    budget: Budget = NO_BUDGET
    """What all graphs may use together."""
    open_endpoints: Callable[..., Ends] = Endpoints
    """Makes what opens a graph's sources and sinks: `Endpoints`, or a stand-in that tests look into."""
    clock: Callable[[], float] = monotonic
    """Seconds, for rates and pauses: real ones, or those of a test's virtual time."""
    stopping: Callable[[], threading.Event] = threading.Event
    """Makes what a graph's pauses wait on, which is set when the graph stops; on virtual time nobody waits."""
    alone: bool = False
    """Whether this process is one node's own: who watches it ends a call that nobody here could."""
    replays: bool = True
    """Whether this process sends dead letters through their nodes again that someone asked for."""
    stand_ins: Mapping[str, Operator] = field(default_factory=dict)
    """By node, what runs in the place of its own operator."""
    graph_clock: Callable[[], GraphClock] = GraphClock
    """Makes the clock of a graph that keeps time."""
    _open: list[str] = field(default_factory=list, init=False)

    @cached_property
    def cpu(self) -> Bucket | None:
        """The budget's share of the processor."""
        return None if self.budget.cpu is None else SharedBucket(self.budget.cpu, monotonic())

    @cached_property
    def pool(self) -> Pool | None:
        """The budget's memory."""
        return None if self.budget.memory is None else Pool(self.budget.memory, "the runtime's budget")

    @cached_property
    def engine(self) -> Engine:
        from flowrt.wasm.engine import Engine

        self._open.append("engine")
        return Engine(interpreter=self.interpreter)

    @cached_property
    def cache(self) -> CodeCache:
        from flowrt.wasm.cache import CodeCache

        return CodeCache()

    @cached_property
    def models(self) -> Models:
        from flowrt.nn.registry import Models

        self._open.append("models")
        return Models(counters=REGISTRY)

    @cached_property
    def letters(self) -> DeadLetters:
        self._open.append("letters")
        return DeadLetters(self.state / "dead-letters.sqlite")

    @cached_property
    def checkpoints(self) -> CheckpointStore:
        """What nodes keep, for all graphs."""
        self._open.append("checkpoints")
        return CheckpointStore(self.checkpoints_file)

    @property
    def checkpoints_file(self) -> Path:
        return self.state / "checkpoints.sqlite"

    @cached_property
    def states(self) -> StateStore:
        """What operator components keep in the state store, shared by all graphs."""
        self._open.append("states")
        return StateStore(self.state / STATE_STORE)

    def interrupt(self) -> None:
        """Have guests' calls looked at whose graph ends; see `Engine.interrupt`."""
        if "engine" in self._open:
            self.engine.interrupt()

    def close(self) -> None:
        """Give back what was made, last first."""
        while self._open:
            getattr(self, self._open.pop()).close()
