"""Documents of payloads that were just read or written, for the next node: of three transforms in a row one parses.

A column of payloads is recognised by being the same object, so nothing is compared, and equal messages share nothing.
Documents are not changed once they are here: a map writes into copies.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

COLUMNS_MAX = 4
"""Columns that are remembered: a branch feeds all behind its first arm before it turns to the second."""
BYTES_MAX = 2**19
"""Bytes of all payloads that are; their documents take some five times as much."""
Document = dict[str, Any]


class Shared(threading.local):
    """The latest columns of a thread: nodes of one stage hand their batches on by plain calls."""

    def __init__(self) -> None:
        self._known: deque[tuple[Sequence[bytes], Sequence[Document], int]] = deque()
        self._bytes = 0

    def of(self, payloads: Sequence[bytes]) -> Sequence[Document] | None:
        """The documents of this very column, if they are known."""
        for column, documents, _ in self._known:
            if column is payloads:
                return documents
        return None

    def put(self, payloads: Sequence[bytes], documents: Sequence[Document]) -> None:
        """Whoever is given the column next finds its documents."""
        size = sum(map(len, payloads))
        if size > BYTES_MAX:
            return
        self._known.appendleft((payloads, documents, size))
        self._bytes += size
        while self._bytes > BYTES_MAX or len(self._known) > COLUMNS_MAX:
            self._bytes -= self._known.pop()[2]


shared = Shared()
