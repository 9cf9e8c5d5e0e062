"""Documents of payloads that were just read or written, for the next node: of three transforms in a row one parses.

A payload is recognised by being the same object, so nothing is compared and equal messages share nothing. Documents
are not changed once they are here: a map writes into copies.
"""

from __future__ import annotations

from typing import Any

PAYLOAD_MAX = 4096
"""Bytes of a payload that is remembered: parsing what is larger is not what a message costs most."""
BYTES_MAX = 2**19
"""Bytes of all payloads that are; their documents take some five times as much."""


class Shared:
    """The latest documents. Threads may use one together: at worst one of them parses again."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[bytes, dict[str, Any]]] = {}
        self._bytes = 0

    def get(self, payload: bytes) -> dict[str, Any] | None:
        """The document of this very payload, if it is known."""
        found = self._known.get(id(payload))
        return found[1] if found is not None and found[0] is payload else None

    def put(self, payload: bytes, document: dict[str, Any]) -> None:
        """Whoever is given the payload next finds its document."""
        size = len(payload)
        if size > PAYLOAD_MAX:
            return
        if self._bytes + size > BYTES_MAX:
            self._known.clear()
            self._bytes = 0
        self._known[id(payload)] = (payload, document)
        self._bytes += size


shared = Shared()
