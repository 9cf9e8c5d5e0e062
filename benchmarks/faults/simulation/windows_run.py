"""One seed of a graph that keeps something: what must hold of windows, a module's state and the state store.

A message is given back to its source only when every way it takes is out, or is on disk at the first window of that
way, and the state it left is on disk. In the end every message is in exactly one window of its way, and no window was
closed before its time, whatever was killed, stopped or trapped in between.
"""

from __future__ import annotations

import re
from collections import Counter
from contextlib import ExitStack
from unittest.mock import patch

from benchmarks.faults.simulation.run import TOPICS, Simulation
from benchmarks.faults.simulation.windows import (
    Disk,
    Way,
    WindowRuntime,
    draw_window_shape,
    ways,
    wrapped,
)
from flowrt.operators import accumulate
from flowrt.runtime import keeping, timed_stage

STOP_STEPS = 60
"""Of a drain; less than it may take, now and then."""
STOPPED = 0.1
"""How often, at a step of the clock, it is told to stop."""
FOLDED = 3
"""Messages that are folded by one call: few, so that windows are half folded often."""
SET_BACK = 0.1
"""How often the wall's clock is set back when the process starts again."""
SET_BACK_MS = 10 * 86_400_000
"""By how much: the clock does not come to where it was before the run is over."""


class WindowSimulation(Simulation):
    """`run` raises `Wrong`. The same seed does the same again."""

    def __init__(self, seed: int, graph: dict[str, tuple[str, ...]] | None = None) -> None:
        """`graph`: the one to run, if the seed is not to draw it."""
        self._graph = graph
        super().__init__(seed)
        self.stops = 0
        self._stop_share = self._random.choice((0.0, STOPPED))
        few = self._random.random() < 0.3
        self._broker.ids = 60 if few else 65_535
        self._told_apart = not few
        """Whether the broker leaves an identifier alone for long, so that what it repeats is known again."""
        self._state_disk = Disk(self._random, self._may_crash)
        self._repeated = 0
        """Results of windows that were on their way when something broke."""

    def run(self) -> None:
        try:
            with ExitStack() as stack:
                for module in (keeping, timed_stage):
                    stack.enter_context(patch.object(module, "monotonic", self._fibers.clock))
                stack.enter_context(patch.object(accumulate, "FOLD_MAX", FOLDED))
                super().run()
        finally:
            self._state_disk.close()

    # In the place of what graphs without windows have.

    def _draw(self) -> None:
        self._shape = draw_window_shape(self._random, self._graph)

    def _life(self) -> WindowRuntime:
        shape = self._shape
        return WindowRuntime(shape, self._letters, self._fibers, self._state_disk, self._random, self._disk)

    def _calm(self) -> None:
        super()._calm()
        self._state_disk.checkpoints.full = 0.0
        self._stop_share = 0.0

    def _tick(self) -> None:
        super()._tick()
        self._runtime.tick()
        if self._random.random() < self._stop_share:
            self._stop()

    def _work(self) -> None:
        super()._work()
        if early := self._runtime.early():
            self._wrong(f"{early[0].decode()} was closed at {self._runtime.timing.clock.now()}, before its time")

    def _cut_sink(self, *, part: bool) -> None:
        if self._sink_link is not None:
            self._repeated += self._runtime.outgoing.under_way()
        super()._cut_sink(part=part)

    def _crashed(self) -> None:
        self._count_repeated()
        super()._crashed()

    def _begin(self) -> None:
        if self._crash_share and self._random.random() < SET_BACK:
            self._state_disk.wall -= SET_BACK_MS  # what is open then may never come to its time, and leaves
        super()._begin()

    def _count_repeated(self) -> None:
        left = sum(len(self._state_disk.checkpoints.values(node, b"o")) for node in self._shape.targets)
        self._repeated += left * len(self._shape.targets)

    def _stop(self) -> None:
        """SIGTERM: a drain, as far as it gets, and a fresh start. Nothing is closed before its time for it."""
        self.stops += 1
        runtime = self._runtime
        runtime.source.stop()
        for _ in range(STOP_STEPS):
            for name in runtime.nodes:
                runtime.step(name, 8, self._shape.targets.get(name, ()))
            for _ in range(3):
                self._fibers.step()
            self._broker_takes()
            self._read_sink()
            if runtime.drained() and not runtime.outgoing.under_way():
                break
        if runtime.drained():
            runtime.end_stages()
        for node in runtime.kept():
            node.close()
        self._count_repeated()
        self._allowed += len(self._broker.under_way) * self._fan_out()
        self._cut_source(part=True)
        self._cut_sink(part=True)
        self._check_disk()
        self._allowed += sum(self._sent_from_disk(sink) for sink in runtime.spools)
        self._fibers.end()
        runtime.close_files()
        self._begin()

    def _sent_from_disk(self, sink: str) -> int:
        again = super()._sent_from_disk(sink)
        self._repeated += again
        return again

    # What must hold.

    def _acknowledged(self, payload: bytes) -> None:
        found, letters = ways(self._shape, payload)  # type: ignore[arg-type]
        disk = self._state_disk
        missing: list[object] = [way for way in found if not self._safe(way)]
        missing += [
            (node, way.token) for way in found for node in way.before_windows() if not disk.keeps(node, way.token)
        ]
        missing += [one for one in letters - self._letters.kept if one[0][0] != "w" or not disk.keeps(*one)]
        if missing:
            self._wrong(f"'{payload.decode()}' is acknowledged, and {missing} is not out")

    def _safe(self, way: Way) -> bool:
        if self._came_out(way) or any(self._state_disk.keeps(node, way.token) for node in way.windows()):
            return True
        whole = wrapped(way.token) if way.windows() else way.token
        kept = [one for one in self._disk.kept(way.sink) if whole in one] if self._shape.spool is not None else []
        self._spooled.update((way.sink, one) for one in kept)
        return bool(kept)

    def _out(self, sink: str, payload: bytes) -> bool:
        return any(self._broker.copies[f"{sink}/{topic}", payload] for topic in range(TOPICS))

    def _came_out(self, way: Way) -> bool:
        if not way.windows():
            return self._out(way.sink, way.token)
        whole = wrapped(way.token)
        return any(topic.startswith(f"{way.sink}/") and whole in payload for topic, payload in self._broker.copies)

    def _idle(self) -> bool:
        return super()._idle() and self._runtime.drained()

    def _check_end(self) -> None:
        published = [f"{topic} {place}".encode() for topic in range(TOPICS) for place in range(self._places[topic])]
        found: list[Way] = []
        letters: set[tuple[str, bytes]] = set()
        for payload in published:
            its_ways, its_letters = ways(self._shape, payload)  # type: ignore[arg-type]
            found += its_ways
            letters |= its_letters
        self._check_letters(letters)
        self._check_windows(found)
        self._check_single([way for way in found if not way.windows()])
        self._check_states(found)
        self._check_disk_is_empty()
        self._check_order_of_single()
        if self._told_apart:
            self._check_order_in_windows()

    def _check_letters(self, letters: set[tuple[str, bytes]]) -> None:
        if letters != self._letters.kept:
            self._wrong(f"among the dead letters: {sorted(letters ^ self._letters.kept)}")

    def _check_windows(self, found: list[Way]) -> None:
        """Each message is in one result of a window, and each window has one result."""
        results = [(topic, payload) for topic, payload in self._broker.copies if payload[:1] == b"["]
        wanted = Counter((way.sink, wrapped(way.token)) for way in found if way.windows())
        for (sink, token), count in wanted.items():
            times = sum(payload.count(token) for topic, payload in results if topic.startswith(f"{sink}/"))
            if times < count:
                self._wrong(f"lost: {token.decode()} is in {times} windows of {sink}")
            if times > count and self._told_apart:
                self._wrong(f"{token.decode()} is in {times} windows of {sink}")
        held = sum(payload.count(b"<") for _, payload in results)
        if held - sum(wanted.values()) > self._allowed or len(wanted) > held:
            self._wrong(f"{held} messages are in windows, {sum(wanted.values())} were to be")
        self._check_once(results)
        copies = sum(self._broker.copies[result] - 1 for result in results)
        if copies > self._repeated:
            self._wrong(f"{copies} results came again, {self._repeated} allowed")

    def _check_once(self, results: list[tuple[str, bytes]]) -> None:
        ends = Counter((topic.partition("/")[0], payload.partition(b"]")[0]) for topic, payload in results)
        twice = [end for end, count in ends.items() if count > 1]
        if twice:
            self._wrong(f"the window {twice[0]} was closed twice")

    def _check_single(self, found: list[Way]) -> None:
        """Of what passes no window."""
        wanted = {(way.sink, way.token) for way in found}
        out = {(topic.partition("/")[0], payload) for topic, payload in self._broker.copies if payload[:1] != b"["}
        if wanted != out:
            self._wrong(f"lost: {sorted(wanted - out)}, from nowhere: {sorted(out - wanted)}")

    def _check_states(self, found: list[Way]) -> None:
        """What modules remember is what they were given, and nothing of a call that trapped."""
        disk = self._state_disk
        for way in found:
            for node in [node for node in way.nodes if node[0] in "kt"]:
                if not disk.keeps(node, way.token):
                    self._wrong(f"lost: {way.token.decode()} is not in the state of {node}")
        for node in [node for node in self._shape.targets if node[0] == "k"]:
            state = b"".join(disk.checkpoints.values(node, b"g"))
            if b"(trapped)" in state:
                self._wrong(f"{node} remembers a call that trapped")
            more = sum(count - 1 for count in Counter(re.findall(b"<[^>]*>", state)).values())
            if more > self._allowed + self._repeated * self._fan_out():
                self._wrong(f"{node} remembers {more} messages more than came, {self._allowed} allowed")

    def _check_disk_is_empty(self) -> None:
        """Nothing is open and nothing on its way: then no checkpoint of messages is left."""
        for node in [node for node in self._shape.targets if node[0] == "w"]:
            left = [value for first in (b"m", b"s", b"o") for value in self._state_disk.checkpoints.values(node, first)]
            if left:
                self._wrong(f"{len(left)} messages of {node} are on disk still")

    def _check_order_of_single(self) -> None:
        """By the first copy of each, within a topic and a way through the graph, where no window is passed."""
        whole, self._broker.log = self._broker.log, [one for one in self._broker.log if one[1][:1] != b"["]
        try:
            self._check_order()
        finally:
            self._broker.log = whole

    def _check_order_in_windows(self) -> None:
        """Messages of a topic that took the same way stand in a window in their order. From window to window that need
        not be so: one that is late falls into the earliest that is open, and the next may open an earlier one."""
        for topic, payload in self._broker.copies:
            newest: dict[tuple[bytes, bytes], int] = {}
            for token in re.findall(b"<[^>]*>", payload) if payload[:1] == b"[" else ():
                message, _, way = token[1:-1].partition(b"|")
                number, _, place = message.partition(b" ")
                if int(place) < newest.get((number, way), -1):
                    self._wrong(f"{token.decode()} came out after {newest[number, way]} in a window on {topic}")
                newest[number, way] = int(place)
