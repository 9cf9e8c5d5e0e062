"""Defects made on purpose, so that the simulation is seen to find them. Each breaks one rule of the promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.mqtt import incoming
from flowrt.endpoints.mqtt.exactly_once import ExactlyOnce
from flowrt.endpoints.mqtt.outgoing import Outgoing
from flowrt.endpoints.mqtt.window import Window
from flowrt.runtime import inbox
from flowrt.runtime.onerror import FaultHandler


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


MUTATIONS: dict[str, tuple[str, Any, str, Callable[[Any], Any]]] = {
    "acknowledge-on-receipt": ("is not out", incoming.Session, "open", _acknowledge_on_receipt),
    "acknowledge-newest-first": ("order of arrival", incoming.Session, "_release", _newest_first),
    "forget-forks": ("is not out", Tracker, "fork", _forget_forks),
    "forget-window": ("never came|came out after", Outgoing, "_opened", _forget_window),
    "resend-backwards": ("came out after", Outgoing, "_opened", _resend_backwards),
    "settle-before-keeping": ("is not out", FaultHandler, "handle", _settle_before_keeping),
    "join-links": ("never came|IndexError|not out", inbox, "joined", _join_links),
    "handle-twice-at-qos-2": ("never came|duplicates|order of arrival", ExactlyOnce, "arrive", _handle_again),
}
"""By name: what the simulation says of it (a regular expression), where it is, and how it is made."""


@contextmanager
def mutated(name: str) -> Iterator[str]:
    """The program with that defect; what is expected to be said of it."""
    words, home, attribute, make = MUTATIONS[name]
    with patch.object(home, attribute, make(getattr(home, attribute))):
        yield words
