"""A stage whose nodes keep something on disk, or that marks pass: commits and confirmations wake it too."""

from __future__ import annotations

from collections.abc import Sequence
from time import monotonic

from flowrt.endpoints.base import Stopped
from flowrt.message import Batch
from flowrt.runtime.keeping import KeepingNode
from flowrt.runtime.node import Target
from flowrt.runtime.stage import Stage
from flowrt.runtime.timed_inbox import Mark, TimedInbox


class TimedStage(Stage):
    """See `Stage`."""

    inbox: TimedInbox

    def __init__(
        self, name: str, inbox: TimedInbox, accept: Target, batch_max: int, wait: float, nodes: Sequence[KeepingNode]
    ) -> None:
        """`nodes`: those of the stage that keep something, in the order in which batches reach them."""
        super().__init__(name, inbox, accept, batch_max, wait)
        self.clock_set_back = False
        """Whether the clock is behind what is on disk."""
        self._nodes = nodes
        for node in nodes:
            node.wake = inbox.wake

    def _run(self) -> None:
        inbox, errands = self.inbox, self._errands
        try:
            self.resume()
            while (parts := inbox.take_until(self._batch_max, self._wait, self._commit_at())) is not None:
                self._handle(parts)
                self._commit()
                while errands:
                    errands.popleft().run()
            for waiting in self.retrying.values():
                waiting.finish()
            for node in self._nodes:
                node.commit()
        except Stopped:
            return

    def exchange(self, old: KeepingNode, new: KeepingNode) -> None:
        """Let one of its nodes stand in the place of another. It is at rest, or the caller."""
        self._nodes = [new if node is old else node for node in self._nodes]
        new.wake = self.inbox.wake

    def resume(self) -> None:
        """Let the nodes begin with what is on disk: those behind first."""
        for node in reversed(self._nodes):
            node.resume(clock_set_back=self.clock_set_back)

    def step(self) -> bool:
        """Handle what waits and put it down, on the caller's thread; whether there was something. For a stage that is
        not started, whose caller has called `resume`."""
        parts = self.inbox.take_until(self._batch_max, 0.0, 0.0)
        self._handle(parts or ())
        for node in self._nodes:
            node.commit()
        return bool(parts)

    def _handle(self, parts: Sequence[Batch | Mark]) -> None:
        for part in parts:
            if isinstance(part, Mark):
                part.deliver()
            else:
                self._accept(part)

    def _commit_at(self) -> float | None:
        return min((at for node in self._nodes if (at := node.commit_at()) is not None), default=None)

    def _commit(self) -> None:
        """Together what waits, once nothing more is in the inbox; and at the latest when it is due."""
        at = self._commit_at()
        if at is not None and at <= monotonic():
            for node in self._nodes:
                node.commit()
