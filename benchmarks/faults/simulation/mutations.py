"""Defects made on purpose, so that the simulation is seen to find them. Each breaks one rule of the promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from flowrt.delivery.spool.log import SpoolLog
from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.mqtt import incoming
from flowrt.endpoints.mqtt.exactly_once import ExactlyOnce
from flowrt.endpoints.mqtt.outgoing import Outgoing
from flowrt.endpoints.mqtt.sink import MqttSink
from flowrt.endpoints.mqtt.window import Window
from flowrt.endpoints.spool_writer import Writer
from flowrt.endpoints.spooled import SpooledSink
from flowrt.runtime import inbox, retrying
from flowrt.runtime.onerror import FaultHandler
from flowrt.runtime.retrying import Retrying


def _acknowledge_on_receipt(open_: Any) -> Any:
    def mutated(self: Any, run: Any) -> range:
        seqs: range = open_(self, run)
        self.link.write(list(self._owed)[-len(run.ids) :])
        return seqs

    return mutated


def _newest_first(release: Any) -> Any:  # noqa: ARG001 - takes the place of it
    def mutated(self: Any, count: int) -> None:
        self.link.write([self._owed.popleft() for _ in range(count)][::-1])

    return mutated


def _forget_forks(fork: Any) -> Any:  # noqa: ARG001
    return lambda *_: None


def _forget_window(opened: Any) -> Any:
    def mutated(self: Any, link: Any) -> None:
        self._window = Window()
        opened(self, link)

    return mutated


def _resend_backwards(opened: Any) -> Any:
    def mutated(self: Any, link: Any) -> None:
        self._window.chunks.reverse()
        opened(self, link)
        self._window.chunks.reverse()

    return mutated


def _settle_before_keeping(handle: Any) -> Any:
    def mutated(self: Any, *faults: Any) -> None:
        for fault in faults:
            fault.rows.tracker.settle(fault.rows.seqs)
        handle(self, *faults)

    return mutated


def _join_links(joined: Any) -> Any:  # noqa: ARG001
    return lambda batches: [inbox.join(batches)]


def _handle_again(arrive: Any) -> Any:
    def mutated(self: Any, link: Any, run: Any) -> Any:
        arrive(self, link, run)
        return run, self.tracker.open(len(run.ids))

    return mutated


def _wait_for_a_message(when_lost: Any) -> Any:  # noqa: ARG001
    return lambda *_: None


def _overtake_the_last_frame(waits: Any) -> Any:  # noqa: ARG001
    return lambda self: self.log is not None and bool(self.log.waiting)


def _hand_over_what_is_kept(hand_over: Any) -> Any:
    def mutated(self: Any, sink: Any, keep: Any) -> None:
        def keeping(batch: Any) -> Any:
            kept = keep(batch)
            if kept.tracker is batch.tracker:
                kept.tracker.settle(kept.seqs)
            return kept

        hand_over(self, sink, keeping)

    return mutated


def _settle_before_spooling(keep: Any) -> Any:
    def mutated(self: Any, frame: Any) -> None:
        for batch in frame:
            if batch.tracker is not None:
                batch.tracker.settle(batch.seqs)
        keep(self, frame)

    return mutated


def _done_once_taken(take: Any) -> Any:
    def mutated(self: Any) -> Any:
        frame = take(self)
        if frame is not None:
            self._position.write(frame.seqs.stop)
        return frame

    return mutated


def _overtake_what_is_tried_again(hold_back: Any) -> Any:  # noqa: ARG001
    return lambda _, batch: batch


def _settle_what_waits(wait: Any) -> Any:
    def mutated(self: Any, topic: str, waiting: Any) -> None:
        waiting.row.tracker.settle(waiting.row.seqs)
        wait(self, topic, waiting)

    return mutated


def _confuse_twins(told_apart: Any) -> Any:  # noqa: ARG001
    return lambda batch: [batch]


MUTATIONS: dict[str, tuple[str, Any, str, Callable[[Any], Any]]] = {
    "acknowledge-on-receipt": ("is not out", incoming.Session, "open", _acknowledge_on_receipt),
    "acknowledge-newest-first": ("order of arrival", incoming.Session, "_release", _newest_first),
    "forget-forks": ("is not out", Tracker, "fork", _forget_forks),
    "forget-window": ("never came|came out after", Outgoing, "_opened", _forget_window),
    "resend-backwards": ("came out after", Outgoing, "_opened", _resend_backwards),
    "settle-before-keeping": ("is not out", FaultHandler, "handle", _settle_before_keeping),
    "join-links": ("never came|IndexError|not out", inbox, "joined", _join_links),
    "wait-for-a-message-to-spool": ("hold their source up", MqttSink, "when_lost", _wait_for_a_message),
    "overtake-the-last-frame": ("came out after|never came", SpooledSink, "waits", _overtake_the_last_frame),
    "hand-over-what-is-kept": (
        "neither out nor on disk|came out after",
        Outgoing,
        "hand_over",
        _hand_over_what_is_kept,
    ),
    "settle-before-spooling": ("is not out", Writer, "_keep", _settle_before_spooling),
    "done-once-taken-from-disk": ("lost|is not out", SpoolLog, "take", _done_once_taken),
    "overtake-what-is-tried-again": ("came out after", Retrying, "_hold_back", _overtake_what_is_tried_again),
    "settle-what-waits": ("is not out", Retrying, "_wait", _settle_what_waits),
    "confuse-twins": ("never came", retrying, "_told_apart", _confuse_twins),
    "handle-twice-at-qos-2": ("never came|duplicates|order of arrival", ExactlyOnce, "arrive", _handle_again),
}
"""By name: what the simulation says of it (a regular expression), where it is, and how it is made."""


@contextmanager
def mutated(name: str) -> Iterator[str]:
    """The program with that defect; what is expected to be said of it."""
    words, home, attribute, make = MUTATIONS[name]
    with patch.object(home, attribute, make(getattr(home, attribute))):
        yield words
