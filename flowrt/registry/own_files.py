"""Files of a cache that are believed when they are read again: ours alone, and whole.

A file is what was kept, then the SHA-256 of that; a damaged one is a miss. Files are written beside their name and
renamed, so two processes may start at once, and whoever loses power leaves a whole file or none.
"""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

_DIGEST = hashlib.sha256().digest_size
_OTHERS_WRITE = 0o022


def own_folder(folder: Path) -> Path | None:
    """The folder, made when it is not there; None when it cannot be had, or others could write into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError:
        return None
    return folder if stat.S_ISDIR(found.st_mode) and _ours(found) else None


def read_own(path: Path) -> bytes | None:
    """What was kept, when the file is whole and ours alone. Raises `OSError`."""
    with path.open("rb") as file:
        if not _ours(os.fstat(file.fileno())):
            return None
        data = file.read()
    kept, digest = data[:-_DIGEST], data[-_DIGEST:]
    return kept if hashlib.sha256(kept).digest() == digest else None


def write_own(path: Path, data: bytes) -> None:
    """Keep it. Raises `OSError`; then nothing is left behind."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.write(hashlib.sha256(data).digest())
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).rename(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise


def _ours(found: os.stat_result) -> bool:
    return found.st_uid == os.geteuid() and not found.st_mode & _OTHERS_WRITE
