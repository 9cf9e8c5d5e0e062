"""Files that are there whole or not at all, whenever the power goes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO


def write_whole(path: Path, data: bytes, mode: int = 0o600) -> None:
    """In the place of what was there, in one step that survives a power cut. Raises OSError."""
    write_parts(path, [data], mode)


def write_parts(path: Path, parts: Iterable[bytes], mode: int = 0o600) -> None:
    """The same for what comes in parts; an exception from `parts` leaves nothing behind."""

    def write(file: IO[bytes]) -> Path:
        file.writelines(parts)
        return path

    write_file(path.parent, write, mode)


def write_file(folder: Path, write: Callable[[IO[bytes]], Path], mode: int = 0o600) -> None:
    """The same for what `write` puts into a file; it gives the file's name, in that folder, once that is known."""
    make_folder(folder)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(handle, "w+b") as file:
            path = write(file)
            file.flush()
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), mode)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync_folder(folder)


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
    """What a writer left that was killed in the midst of it, and the halves of transfers that broke off."""
    with contextlib.suppress(OSError):
        yield from folder.glob(".new-*")
        yield from folder.glob(".part-*")


@contextlib.contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Held by one process, and thread, at a time. Raises OSError."""
    make_folder(path.parent)
    with path.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
