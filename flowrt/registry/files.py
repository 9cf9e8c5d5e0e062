"""Files that are there whole or not at all, whenever the power goes."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path


def write_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """In the place of what was there, in one step that survives a power cut. Raises OSError."""
    write_parts(path, [data], mode)


def write_parts(path: Path, parts: Iterable[bytes], mode: int = 0o600) -> None:
    """The same for what comes in parts; an exception from `parts` leaves nothing behind."""
    make_folder(path.parent)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def make_folder(path: Path) -> None:
    """With its parents, ours alone."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable. A file system that cannot is left alone."""
    with contextlib.suppress(OSError):
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def leftovers(folder: Path) -> Iterator[Path]:
    """What a writer left that was killed in the midst of it."""
    with contextlib.suppress(OSError):
        yield from folder.glob(".new-*")
