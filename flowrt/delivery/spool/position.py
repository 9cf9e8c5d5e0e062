"""How far a spool is drained, in a file of two slots that are written in turn: a torn write leaves the other."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from zlib import crc32

_SLOT = struct.Struct("<QI")
NAME = "position"


class Position:
    """The number of the first message that is not out. Raises OSError from all it does."""

    def __init__(self, folder: Path) -> None:
        self._fd = os.open(folder / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._slot = 0
        self._synced = self.value = read_position(folder)

    def write(self, value: int) -> None:
        """Survives the end of the process; a power cut only after `sync`."""
        self.value = value
        number = struct.pack("<Q", value)
        os.pwrite(self._fd, _SLOT.pack(value, crc32(number)), self._slot * _SLOT.size)
        self._slot = 1 - self._slot

    def sync(self) -> None:
        """Make it survive a power cut."""
        if self._synced != self.value:
            os.fdatasync(self._fd)
            self._synced = self.value

    def close(self) -> None:
        os.close(self._fd)


def read_position(folder: Path) -> int:
    """What was written last; 0 when nothing was."""
    try:
        data = (folder / NAME).read_bytes()
    except OSError:
        return 0
    slots = [data[at : at + _SLOT.size] for at in (0, _SLOT.size)]
    values = [_SLOT.unpack(slot)[0] for slot in slots if len(slot) == _SLOT.size and crc32(slot[:8]) == _crc(slot)]
    return max(values, default=0)


def _crc(slot: bytes) -> int:
    return int(_SLOT.unpack(slot)[1])
