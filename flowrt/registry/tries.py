"""How often another side is asked again: what breaks off goes on, who is busy is left alone for as long as they say."""

from __future__ import annotations

import errno
from collections.abc import Callable
from typing import TypeVar

TRIES = 5
"""How often a transfer that broke off goes on from where it was."""
BUSY = frozenset((408, 425, 429, 502, 503, 504))
"""What a server answers that may answer otherwise in a while."""
AFTER_SECONDS_MAX = 60.0
"""Who wants to be asked later than that is given up; who follows a tag looks again by itself."""
_FULL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EFBIG))
_Result = TypeVar("_Result")


class Busy(ConnectionError):
    """A server that is, and `after` how many seconds it may be asked again; None where it does not say."""

    def __init__(self, words: str, after: float | None) -> None:
        super().__init__(words)
        self.after = after


def busy(words: str, after: str | None) -> Busy:
    """`after` is the header Retry-After. One that names a date counts as none."""
    return Busy(words, float(after) if after is not None and after.strip().isdecimal() else None)


def is_full(error: OSError) -> bool:
    """Whether there is no room for what came: trying again only keeps the disk full."""
    return error.errno in _FULL


def again(act: Callable[[], _Result], sleep: Callable[[float], None]) -> _Result:
    """Its result, tried as often as it may break off. Raises what the last try raised."""
    for left in reversed(range(TRIES)):
        try:
            return act()
        except OSError as error:
            pause = _pause(error, TRIES - left)
            if not left or is_full(error) or pause > AFTER_SECONDS_MAX:
                raise
            sleep(pause)
    raise AssertionError  # the last try returns or raises


def _pause(error: OSError, tried: int) -> float:
    if isinstance(error, Busy):
        return error.after if error.after is not None else 2.0 ** (tried - 1)
    return 0.2 * tried
