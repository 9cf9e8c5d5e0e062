"""Room on the disk for what comes, looked for before it does: a full disk stops spools and checkpoints as well."""

from __future__ import annotations

import os
from pathlib import Path

from flowrt.quota.quantity import format_bytes
from flowrt.registry.blobs import Refused

SPARE_BYTES = 64 * 2**20
"""What stays free for messages, whatever is brought."""


def require_room(folder: Path, size: int, coming: int, most: int | None) -> None:
    """For what has `size` bytes, of which so many are still `coming`. `most`: bytes that artifacts may take in all.
    Raises `Refused`, and OSError where the folder cannot be asked."""
    if most is not None and size > most:
        raise Refused(f"disk: it has {format_bytes(size)}, and artifacts may take {format_bytes(most)}; see --disk")
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    if coming > free - SPARE_BYTES:
        spare = format_bytes(SPARE_BYTES)
        raise Refused(f"disk: {format_bytes(coming)} are to come, {format_bytes(free)} are free, and {spare} stay so")
