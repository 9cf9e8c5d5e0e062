"""How logical time moves through a graph that has a node which needs it; no other graph has any of this.

Each source stamps its messages by the graph's clock. When a node has something that is due, every source is asked for
its *mark* ("nothing before T will come any more"), which follows the messages through the same inboxes. A node's
frontier is the smallest mark of its inputs; it works off what its frontier has passed, then hands the frontier on. An
idle source's mark follows the clock, so it holds nobody up; a source that has ended gives the mark of the end.

On threads a `Ticker` asks. On virtual time, with one thread and stages that hand on at once:

    timing.start()                      # reads where the clock had got to
    entrance.deliver(batch)             # as often as there is something, at the clock's present
    timing.due()                        # milliseconds of the clock at which to call `wake`, or None
    timing.wake()                       # once the clock is there: sources give their marks
    timing.end("source")                # it will bring nothing more: windows that only it kept open close
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from flowrt.counters import NodeCounters
from flowrt.endpoints.base import Deliver, Stopped
from flowrt.errors import StartError
from flowrt.logicaltime.clock import GraphClock
from flowrt.logicaltime.frontier import Frontier
from flowrt.logicaltime.stamping import Stamper
from flowrt.logicaltime.stamps import END, START, milliseconds
from flowrt.message import Batch
from flowrt.runtime.timed_inbox import Take

if TYPE_CHECKING:
    from flowrt.runtime.timed import TimedNode
    from flowrt.runtime.timed_stage import TimedStage

MakeClock = Callable[[], GraphClock]
"""Makes the clock of a graph: one that follows the wall, or that of a test's virtual time."""


class Relay:
    """A node's part: the frontier of its inputs, what it does with it, and who learns of it next."""

    def __init__(self) -> None:
        self.targets: list[Take] = []
        """The inputs behind it."""
        self.work: Take | None = None
        """Of a node that keeps messages: `TimedNode.pass_to`."""
        self._inputs = 0
        self._frontier = Frontier(0)

    def input(self) -> Take:
        """One more input; marks from there go to what this gives."""
        place = self._inputs
        self._inputs += 1
        self._frontier = Frontier(self._inputs)

        def take(mark: int) -> None:
            if self._frontier.advance(place, mark):
                self._pass_on(self._frontier.now)

        return take

    def _pass_on(self, frontier: int) -> None:
        if self.work is not None:
            self.work(frontier)
        for target in self.targets:
            target(frontier)


class TimedEntrance:
    """What stands between a source and its `Entrance`: stamps what comes, and gives marks."""

    def __init__(self, deliver: Deliver, clock: GraphClock, lateness_ms: int, counters: NodeCounters) -> None:
        self.targets: list[Take] = []
        """The inputs behind it."""
        self._deliver = deliver
        self._stamper = Stamper(clock, lateness_ms)
        self._counters = counters
        self._lock = threading.Lock()
        """A mark may not overtake a message that is stamped already."""
        self._ended = False

    @property
    def lateness_ms(self) -> int:
        return self._stamper.lateness_ms

    def deliver(self, batch: Batch) -> None:
        """As `Entrance.deliver`."""
        with self._lock:
            stamped = self._stamper.stamp([head.timestamp for head in batch.heads])
            heads = batch.heads
            if stamped.drifted:
                self._counters.drifted += len(stamped.drifted)
                heads = list(heads)
                for row in stamped.drifted:
                    heads[row] = heads[row].with_(timestamp=None)
            self._counters.late += len(stamped.late)
            self._deliver(Batch(heads, batch.payloads, stamped.times, batch.born, batch.seqs, batch.tracker))

    def mark(self) -> int:
        """Tell those behind what can still come; gives that too."""
        with self._lock:
            if self._ended:
                return END
            mark = self._stamper.mark()
            self._tell(mark)
            return mark

    def end(self) -> None:
        """Nothing more will come."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._tell(END)

    def _tell(self, mark: int) -> None:
        for target in self.targets:
            target(mark)


class Timing:
    """The time of one graph: its clock, its sources, and when to ask them for marks."""

    def __init__(self, clock: MakeClock, nodes: Sequence[TimedNode], stages: Sequence[TimedStage]) -> None:
        """`nodes` are those that keep messages, `stages` those that marks pass."""
        self.clock = clock()
        for node in nodes:
            node.clock = self.clock.now
        self._nodes = nodes
        self._stages = stages
        self.relays: dict[str, Relay] = {}
        """By node that marks pass."""
        self.entrances: dict[str, TimedEntrance] = {}
        self.changed = threading.Condition()
        """Notified when something is due before whatever was waited for, if anything was."""
        self._due: dict[str, int] = {}
        self._asked = START
        """The smallest mark that the sources gave when they were asked last."""
        self._ticker: Ticker | None = None

    def watch(self, node: str) -> Callable[[int | None], None]:
        """What a node tells the frontier at which it has something to do."""

        def told(due: int | None) -> None:
            with self.changed:
                before = self._due.get(node)
                if due is None:
                    self._due.pop(node, None)
                else:
                    self._due[node] = due
                    awaited = before is not None and self._asked < before <= due
                    if due > self._asked and not awaited:
                        self.changed.notify()

        return told

    def exchange(self, old: TimedNode, new: TimedNode) -> None:
        """Let one node stand in the place of another of its name. Their stage is at rest, or the caller."""
        self._nodes = [new if node is old else node for node in self._nodes]
        self.relays[new.name].work = new.pass_to
        new.woken = old.woken

    def due(self) -> int | None:
        """When to call `wake`, in milliseconds of the clock; None while nothing waits for time."""
        with self.changed:
            waiting = [due for due in self._due.values() if due > self._asked]
        if not waiting or not self.entrances:
            return None
        lateness = max(entrance.lateness_ms for entrance in self.entrances.values())
        return milliseconds(min(waiting) - 1) + 1 + lateness

    def wake(self) -> None:
        """Ask every source for its mark. Raises `Stopped`."""
        self._asked = min((entrance.mark() for entrance in list(self.entrances.values())), default=END)

    def end(self, source: str) -> None:
        """A source has come to its end. Raises `Stopped`."""
        if source in self.entrances:
            self.entrances[source].end()
            self.wake()

    def start(self) -> None:
        """Read what nodes had kept, and let the clock go on from where they had got to. Before stages start."""
        reached = START
        for node in self._nodes:
            with suppress(StartError):  # whoever resumes tries again, and says so
                reached = max(reached, node.load())
        set_back = not self.clock.begin(milliseconds(reached))
        for stage in self._stages:
            stage.clock_set_back = set_back

    def start_ticking(self) -> None:
        """Ask when it is time, on a thread of its own, until `stop_ticking`."""
        self._ticker = Ticker(self)

    def stop_ticking(self) -> None:
        """Ask no more. What is open stays open."""
        if self._ticker is not None:
            self._ticker.stop()


class Ticker:
    """Calls `wake` when something is due. Sleeps while nothing is."""

    def __init__(self, timing: Timing) -> None:
        self._timing = timing
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="flowrt/time", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        with self._timing.changed:
            self._stopping = True
            self._timing.changed.notify()
        self._thread.join(1.0)

    def _run(self) -> None:
        timing = self._timing
        while not self._stopping:
            due = timing.due()
            left = None if due is None else (due - timing.clock.now()) / 1000
            if left is not None and left <= 0:
                try:
                    timing.wake()
                except Stopped:
                    return
                continue
            with timing.changed:
                if not self._stopping and timing.due() == due:
                    timing.changed.wait(left)
