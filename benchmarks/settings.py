"""How much a run measures, as asked for on the command line."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Settings:
    """One run."""

    rounds: int = 5
    messages: int = 60_000
    """In one load."""
    only: Sequence[str] = ()
    """Parts of a group to measure; none named: all."""
    rate: int = 1000
    """Messages a second for latency."""
    seconds: float = 10.0
    """How long latency is measured in each round."""
    write: bool = False
    """Whether figures and charts go into docs/."""
    started: float = field(default_factory=time.monotonic)

    def wants(self, part: str) -> bool:
        return not self.only or part in self.only

    def turns(self) -> Iterator[str]:
        """`1/5` and on."""
        for turn in range(1, self.rounds + 1):
            yield f"{turn}/{self.rounds}"

    def say(self, text: str) -> None:
        """A line of progress."""
        print(f"[{time.monotonic() - self.started:6.0f} s] {text}", file=sys.stderr, flush=True)
