"""Where a child may write, and that it may not look into other processes, as a rule that the kernel keeps to.

Linux since 5.13 where its Landlock is switched on; without it a child may write what the service's user may.

Source: landlock(7), `linux/landlock.h`. The three calls have the same numbers on every machine.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

_CREATE, _ADD, _RESTRICT = 444, 445, 446
_VERSION, _BENEATH = 1, 1
_WRITE_FILE, _TRUNCATE = 1 << 1, 1 << 14
_WRITES = _WRITE_FILE | sum(1 << bit for bit in range(4, 13))
"""Write to a file; remove and make files and folders of every kind."""
_REFER = 1 << 13
_NO_SIGNALS, _NO_NAMES = 1 << 1, 1 << 0
"""To processes outside, and to their abstract sockets."""
_LIBC = ctypes.CDLL(None, use_errno=True)


def version() -> int:
    """What the kernel offers; 0: nothing."""
    return max(0, int(_LIBC.syscall(_CREATE, None, 0, _VERSION)))


def write_only(folders: Sequence[Path]) -> bool:
    """Let this process, which must have set `no_new_privs`, write below these folders and nowhere else, for good;
    whether that could be done. A look into the memory of processes outside is refused by the same."""
    offered = version()
    if not offered:
        return False
    wanted = _WRITES | (_REFER if offered >= 2 else 0) | (_TRUNCATE if offered >= 3 else 0)
    rules = struct.pack("=QQQ", wanted, 0, _NO_SIGNALS | _NO_NAMES if offered >= 6 else 0)
    size = 8 if offered < 4 else 16 if offered < 6 else 24
    ruleset = _LIBC.syscall(_CREATE, rules, size, 0)
    if ruleset < 0:
        return False
    try:
        for folder in folders:
            _allow(ruleset, folder, wanted)
        _allow(ruleset, Path(os.devnull), _WRITE_FILE)
        return not _LIBC.syscall(_RESTRICT, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, what: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:  # it is not there: then nothing can be written below it either
        return
    try:
        _LIBC.syscall(_ADD, ruleset, _BENEATH, struct.pack("=Qi", what, descriptor), 0)
    finally:
        os.close(descriptor)
