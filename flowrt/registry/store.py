"""The local store: blobs, and the names that artifacts go by."""

from __future__ import annotations

import time
from collections.abc import Set as AbstractSet
from pathlib import Path

from flowrt.registry.blobs import Blobs

FRESH_SECONDS = 3600.0


class Store:
    """A folder. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = Blobs(folder)

    def tidy(self, needed: AbstractSet[str]) -> int:
        """Remove blobs that neither a name nor `needed` holds; how many bytes that gave back. What came within the last
        hour may be half of something that is on its way, and stays."""
        freed, now = 0, time.time()
        for digest, found in list(self.blobs.all()):
            if digest not in needed and now - found.st_mtime > FRESH_SECONDS:
                self.blobs.remove(digest)
                freed += found.st_size
        return freed
