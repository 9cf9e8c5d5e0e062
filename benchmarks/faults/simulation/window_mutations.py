"""Defects made on purpose in what keeps something, so that the simulation is seen to find them: as in `mutations.py`.

The last ones are what the simulation found in the product when it was new.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple
from unittest.mock import patch

from flowrt.logicaltime.stamps import END
from flowrt.operators.accumulate import AccumulateOperator
from flowrt.operators.guest import GuestSlot
from flowrt.runtime import timed
from flowrt.runtime.keeping import KeepingNode
from flowrt.runtime.node import Node
from flowrt.runtime.repeats import Repeats
from flowrt.runtime.retrying import Retrying
from flowrt.runtime.stateful import StatefulNode
from flowrt.runtime.timed import TimedNode
from flowrt.state.records import unpack_time


def _settle_at_once(owe: Any) -> Any:  # noqa: ARG001 - takes the place of it
    return lambda _, tracker, seqs: tracker.settle(seqs)


def _as_any_node(method: str) -> Callable[[Any], Any]:
    return lambda _: getattr(Node, method)


def _under_another_name(out: Any) -> Any:
    return lambda seq: b"x" + out(seq)


def _nothing(_: Any) -> Any:
    return lambda *_, **__: None


def _done_once_sent(leave: Any) -> Any:
    def mutated(self: Any, out: Any, **given: Any) -> None:
        leave(self, out, **given)
        self._released(len(out))

    return mutated


def _close_what_is_open(close: Any) -> Any:
    def mutated(self: Any) -> None:
        if isinstance(self, TimedNode):
            self.pass_to(END)
        close(self)

    return mutated


def _believe_all_repeats(known: Any) -> Any:  # noqa: ARG001
    return lambda _, __, note: note.again


def _restore_without(first: bytes) -> Callable[[Any], Any]:
    def make(restore: Any) -> Any:
        return lambda self, entries: restore(self, {key: entries[key] for key in entries if key[:1] != first})

    return make


def _write_half(write: Any) -> Any:  # noqa: ARG001
    def mutated(self: Any) -> None:
        with suppress(sqlite3.Error):
            self._store.commit(self.graph, self.name, self._journal.take())

    return mutated


def _never_again(leave: Any) -> Any:
    return lambda self, out, **_: leave(self, out)


def _fold_what_failed_last(_: Any) -> Any:
    def mutated(self: Any, ready: Any) -> Any:
        emission = self._process(ready, self.operator.fold)
        return self._retry(emission, self.operator.fold) if self._on_error.policy == "retry" else emission

    return mutated


def _only_its_own_part(split: Any) -> Any:
    return lambda self, emission, batch: split(self, emission, batch) if emission.faults else emission


def _by_results_only(_: Any) -> Any:
    return lambda entries: unpack_time(entries.get(timed._FRONTIER, b""))


def _at_their_old_times(leave: Any) -> Any:
    def mutated(self: Any, out: Any, **given: Any) -> None:
        self._latest = None
        leave(self, out, **given)

    return mutated


_CHAIN = {"a": ("w1",), "w1": ("w2",), "w2": ("sink1",)}
_WINDOW = {"a": ("w1",), "w1": ("sink1",)}
_STATE = {"a": ("k1",), "k1": ("sink1",)}
_STORE = {"a": ("t1", "k1"), "t1": ("sink1",), "k1": ("sink2",)}


class WindowMutation(NamedTuple):
    """One defect."""

    words: str
    """What the simulation says of it: a regular expression."""
    graph: dict[str, tuple[str, ...]]
    """Where it shows soon."""
    home: Any
    attribute: str
    make: Callable[[Any], Any]


WINDOW_MUTATIONS = {
    name: WindowMutation(*given)
    for name, given in {
        "settle-before-the-checkpoint": ("is not out", _WINDOW, KeepingNode, "_owe", _settle_at_once),
        "settle-before-the-state": ("is not out", _STATE, StatefulNode, "accept", _as_any_node("accept")),
        "forget-what-has-left": ("lost", _WINDOW, timed, "_out", _under_another_name),
        "keep-what-is-confirmed": ("never came to rest", _WINDOW, TimedNode, "_forget_confirmed", _nothing),
        "done-once-sent": ("lost|is not out", _WINDOW, TimedNode, "_leave", _done_once_sent),
        "close-at-a-stop": ("before its time", _WINDOW, KeepingNode, "close", _close_what_is_open),
        "forget-what-came": ("in 2 windows", _WINDOW, Repeats, "write", _nothing),
        "believe-all-repeats": ("lost|is not out", _WINDOW, Repeats, "known", _believe_all_repeats),
        "restore-without-what-waits": (
            "lost|is not out",
            _WINDOW,
            AccumulateOperator,
            "restore",
            _restore_without(b"m"),
        ),
        "restore-without-what-is-folded": (
            "lost|is not out",
            _CHAIN,
            AccumulateOperator,
            "restore",
            _restore_without(b"s"),
        ),
        "go-on-after-a-trap": ("call that trapped", _STATE, GuestSlot, "restart", _nothing),
        "begin-without-the-state": ("lost|is not out", _STATE, GuestSlot, "resume", _nothing),
        "write-only-if-there-is-room": ("lost|is not out|in 2 windows", _WINDOW, KeepingNode, "_write", _write_half),
        "results-are-never-known-again": ("in 2 windows", _CHAIN, TimedNode, "_leave", _never_again),
        "state-overtakes-what-failed": ("came out after", _STATE, StatefulNode, "_handle", _as_any_node("_handle")),
        "fold-what-failed-last": ("came out after", _WINDOW, TimedNode, "_fold_all", _fold_what_failed_last),
        "overtake-after-a-trap": ("came out after", _STORE, Retrying, "split", _only_its_own_part),
        "know-the-time-by-results-only": ("never came to rest", _WINDOW, timed, "_reached", _by_results_only),
        "results-of-a-clock-set-back": ("never came to rest", _CHAIN, TimedNode, "_leave", _at_their_old_times),
    }.items()
}
"""By name."""


@contextmanager
def window_mutated(name: str) -> Iterator[WindowMutation]:
    """The program with that defect."""
    one = WINDOW_MUTATIONS[name]
    with patch.object(one.home, one.attribute, one.make(getattr(one.home, one.attribute))):
        yield one
