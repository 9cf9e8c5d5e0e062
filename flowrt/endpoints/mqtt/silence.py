"""Whether a broker that owes an answer has been silent for too long: a connection that is open on this side only.

After half of the time without a word the broker is asked (PINGREQ); the other half it has for any answer, from when the
question can have reached it. A slow link, on which the question stands behind megabytes, is no silent one: as long as
bytes arrive, time begins anew. Pure: the clock and the link's counts are handed in.
"""

from __future__ import annotations


class Silence:
    """Of one connection."""

    def __init__(self, seconds: float) -> None:
        self._half = seconds / 2
        self._asked_at: float | None = None
        self._since = 0.0
        """Since when nothing has moved."""
        self._question = 0
        """Where the question ends among the bytes that were written."""
        self._arrived = 0

    def due(self, now: float, last_received: float) -> bool:
        """Whether to ask, where an answer is due. `last_received`: when something came last."""
        return self._asked_at is None and now - last_received >= self._half

    def asked(self, now: float, question: int, arrived: int) -> None:
        """A question was written, that ends at byte `question`; `arrived` bytes have reached the other side."""
        if self._asked_at is None:
            self._asked_at = self._since = now
            self._question, self._arrived = question, arrived

    def pending(self, last_received: float) -> bool:
        """Whether a question is unanswered; any word is an answer."""
        if self._asked_at is not None and last_received >= self._asked_at:
            self._asked_at = None
        return self._asked_at is not None

    def broken(self, now: float, arrived: int) -> bool:
        """Whether to give the connection up, while a question is pending."""
        if self._arrived < min(arrived, self._question):
            self._arrived, self._since = arrived, now
        return now - self._since > self._half
