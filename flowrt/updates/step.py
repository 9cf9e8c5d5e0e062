"""What every update does, whatever it exchanges: step by step through its life, and out of it when something fails."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NotRequired, TypeAlias, TypedDict, Unpack

from flowrt.counters import UPDATE_REASONS
from flowrt.events import Emit, UpdateFailed, UpdateMoved
from flowrt.graph.difference import difference
from flowrt.graph.plan import Plan
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.runtime import Runtime
from flowrt.updates.lifecycle import ENDS, FIRST, Event, State, after

if TYPE_CHECKING:
    from flowrt.updates.recorded import Recorded  # few graphs record

LOOK_SECONDS = 0.02
"""How often a trial is looked at. A version that fails is cut off by its own trial at once, whatever this is."""

Moved = Callable[[State, str], None]
"""Told each state before what belongs to it is done. It may raise OSError while that is written down: then the update
fails."""


RecordedOf: TypeAlias = "Callable[[Plan, str], Sequence[Recorded]]"
"""From a running plan and a node of it to what was recorded of it."""


def nothing_recorded(_plan: Plan, _name: str) -> Sequence[Recorded]:
    """For a graph that records nothing."""
    return ()


class Failed(Exception):
    """The new version is not to be. `remember`: nor when it is wanted again."""

    def __init__(self, reason: str, *, remember: bool = True) -> None:
        super().__init__(reason)
        self.reason = reason
        self.remember = remember


class Cut(Exception):
    """The program ends in the midst of an update."""


def as_failed(error: Exception) -> Failed:
    """Whatever went wrong, as the end of an update: what a module brings about that nobody thought of must not leave
    one under way for ever. Raises `Cut` again."""
    if isinstance(error, Cut):
        raise error
    if isinstance(error, Failed):
        return error
    failed = Failed(f"other: {str(error) or type(error).__name__}", remember=False)
    failed.__cause__ = error
    return failed


class Given(TypedDict):
    """What whoever begins an update gives it."""

    emit: Emit
    moved: Moved
    ending: threading.Event
    """Set when the program ends."""
    recorded: NotRequired[RecordedOf]
    """Gives what a node of the running plan was given."""


class Steps(ABC):
    """One update. Subclasses say what is done: `through`."""

    def __init__(self, runtime: Runtime, graph: RunningGraph, plan: Plan, **given: Unpack[Given]) -> None:
        self.graph = graph
        """What runs at present."""
        self.plan = plan
        self.state: State = FIRST
        self.settled = threading.Event()
        """Set when the new version carries all traffic, or is not going to."""
        self.asked = threading.Event()
        """Set to let it be rolled back."""
        self.remember = False
        """Whether it failed by its own fault: then it is not tried again."""
        self.pauses: list[float] = []
        """Seconds for which messages stood still, one for each exchange."""
        self.what = difference(graph.plan, plan)
        """What differed when it began."""
        self.ending = given["ending"]
        self._runtime = runtime
        self._emit = given["emit"]
        self._moved = given["moved"]
        self._recorded = given.get("recorded", nothing_recorded)

    def run(self) -> tuple[State, str]:
        """The state it ended in and the reason; as long as the new version needs to prove itself. Raises `Cut`."""
        counters = self.graph.updates
        counters.under_way = 1
        reason = ""
        try:
            self.through()
        except Exception as error:  # noqa: BLE001 - see `as_failed`
            failed = as_failed(error)
            reason, self.remember = failed.reason, failed.remember
            self.go("fail", reason)
            kind = reason.partition(":")[0]
            kind = kind if kind in UPDATE_REASONS else "other"
            counters.reasons[kind] = counters.reasons.get(kind, 0) + 1
            self._emit(UpdateFailed(self.plan.name, self.plan.version, self.state, reason))
        finally:
            counters.under_way = 0
            self.settled.set()
        if self.state in ENDS:
            counters.ended[self.state] += 1
        return self.state, reason

    @abstractmethod
    def through(self) -> None:
        """Every step. Raises `Failed` when what ran before runs again, and `Cut`."""

    def go(self, event: Event, detail: str) -> None:
        """Into the next state."""
        state = after(self.state, event)
        self._moved(state, detail)
        self.state = state
        if event != "fail":
            self._emit(UpdateMoved(self.plan.name, self.plan.version, state, detail))

    def stood_still(self, seconds: float) -> None:
        """Note an exchange."""
        self.pauses.append(seconds)
        self.graph.updates.pause.observe(seconds)

    def look(self, graph: RunningGraph) -> None:
        """Wait a moment. Raises `Cut` when everything ends, `Failed` when somebody wants the old version back."""
        if self.ending.wait(LOOK_SECONDS) or graph.stopped:
            raise Cut
        if self.asked.is_set():
            raise Failed("asked: rolled back by hand", remember=False)
