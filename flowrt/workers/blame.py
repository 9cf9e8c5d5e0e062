"""Which message ends the worker that it is dealt to, so that it is not dealt again for ever.

A worker may be killed from outside, so its first end blames nobody: all that it had is dealt to its successor. When
that one ends as well before it has done with what it was dealt again, each message goes alone; one that a worker was
alone with at its end `CRASHES` times is guilty.
"""

from __future__ import annotations

CRASHES = 2


class Blame:
    """Counts of the oldest messages of one feed. The caller holds its lock."""

    def __init__(self) -> None:
        self._again = 0
        """Messages that have outlived a worker."""
        self.alone = 0
        """Messages that are dealt one by one."""
        self._strikes = 0
        """How many workers ended while they were alone with the oldest message."""

    def done(self, count: int) -> None:
        """So many of the oldest are done with."""
        self._again = max(0, self._again - count)
        self.alone = max(0, self.alone - count)
        self._strikes = 0

    def died(self, open_count: int, *, working: bool) -> bool:
        """A worker has ended, with so many messages not done with; whether the oldest is guilty. `working`: it had
        begun to work; else its end says nothing about messages."""
        if working and self.alone:
            self._strikes += 1
        elif working and self._again:
            self.alone = open_count
        self._again = open_count
        self.alone = min(self.alone, open_count)
        return self._strikes >= CRASHES
