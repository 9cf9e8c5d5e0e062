"""Dead letters that someone asked for with `flowrt dead retry`: the store is the queue, a running graph takes from it.

A letter stays in the store until all that derives from it is out, so that a crash in between repeats it and loses
nothing. One that fails again is kept anew by its node, as any message is, unless it was deleted meanwhile.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from time import monotonic

from flowrt.delivery.deadletters import DeadLetter, DeadLetters, Which
from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Stopped
from flowrt.errors import StartError
from flowrt.message import Batch
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.node import Node
from flowrt.runtime.stage import Errand

LOOK_SECONDS = 1.0
"""Between looks for letters while none is under way."""
BUSY_SECONDS = 0.05
UNDER_WAY_MAX = 64
"""Letters under way at once: they come on top of what sources send, and past the bounds of inboxes."""


class Replayer:
    """One for a runtime. Its thread sleeps but for a look into the store once a second."""

    def __init__(self, graphs: Callable[[], Sequence[RunningGraph]], letters: DeadLetters) -> None:
        """`graphs` tells what runs at present."""
        self._graphs = graphs
        self._letters = letters
        self._stopping = threading.Event()
        self._under_way: set[int] = set()
        self._done: list[int] = []
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="flowrt/letters", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Begin nothing more. Safe to call twice."""
        self._stopping.set()

    def finish(self) -> None:
        """Note what is done with, once the graphs have stopped."""
        self.stop()
        if self._thread.ident is not None:
            self._thread.join(2.0)
            self._remove_done()

    def _run(self) -> None:
        while not self._stopping.wait(BUSY_SECONDS if self._under_way else LOOK_SECONDS):
            if self._letters.exists():
                with suppress(sqlite3.Error, StartError):  # locked or full: the next look is soon
                    self._remove_done()
                    self._begin()

    def _begin(self) -> None:
        """Send the oldest letters through their nodes, as many as may be under way. Those of graphs and nodes that are
        not here wait for a runtime that has them."""
        last, running = 0, {graph.name: graph for graph in self._graphs()}
        while len(self._under_way) < UNDER_WAY_MAX and (found := list(self._letters.marked(UNDER_WAY_MAX, last))):
            for letter in found:
                last = letter.id
                graph = running.get(letter.graph)
                if letter.id in self._under_way or graph is None or not _has(graph, letter.node):
                    continue
                if len(self._under_way) < UNDER_WAY_MAX:
                    if letter.kind == "crash":  # should it end this process, the next one must not try it by itself
                        self._letters.unmark(Which(ids=[(letter.id, letter.id)]))
                    self._under_way.add(letter.id)
                    self._replay(graph, letter)

    def _replay(self, graph: RunningGraph, letter: DeadLetter) -> None:
        tracker = Tracker(lambda _: self._settled(letter.id), letter=letter.id)
        message = letter.message
        batch = Batch(
            [message.head], [message.payload], [message.time], [monotonic()], tracker.open(1), tracker
        )  # fmt: skip
        node = graph.nodes.get(letter.node)
        if node is None:  # a source's: it had ended a process of `--workers`, nobody knows at which node
            with suppress(Stopped):
                graph.deliver_to(letter.node)(batch)
            return
        stage = graph.plan_stages[graph.plan.nodes[letter.node].stage]
        stage.post(Errand(partial(_accept, node, batch)))

    def _settled(self, letter: int) -> None:
        with self._lock:
            self._done.append(letter)

    def _remove_done(self) -> None:
        with self._lock:
            done, self._done = self._done, []
        try:
            for letter in done:
                self._letters.remove(Which(ids=[(letter, letter)]))
        except (sqlite3.Error, StartError):
            with self._lock:
                self._done += done
            raise
        self._under_way.difference_update(done)


def _has(graph: RunningGraph, node: str) -> bool:
    return node in graph.nodes or node in graph.entrances


def _accept(node: Node, batch: Batch) -> None:
    with suppress(Stopped):  # the letter is still in the store
        node.accept(batch)
