"""Content by its SHA-256: `blobs/sha256/…`, as an OCI image layout keeps it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from flowrt.errors import FlowrtError
from flowrt.registry.files import leftovers, sync_folder, write_file, write_parts

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_CHUNK = 2**20
_STALE_SECONDS = 86400.0
"""What a killed writer or a transfer that broke off left is this old before somebody else removes it."""


class Refused(FlowrtError):
    """An artifact that is not taken, or not given out. The message says why."""


def digest_of(data: bytes) -> str:
    """As everywhere: `sha256:` and 64 hexadecimal digits."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def checked_digest(text: str) -> str:
    """The text, when it is a digest. Raises `Refused`: a digest becomes a file's name."""
    if not _DIGEST.fullmatch(text):
        raise Refused(f"'{text[:80]}' is not a digest; write sha256: and 64 hexadecimal digits")
    return text


class Blobs:
    """A folder of blobs. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "blobs" / "sha256"

    def path(self, digest: str) -> Path:
        """Where a blob is, or would be."""
        return self.folder / checked_digest(digest).removeprefix("sha256:")

    def has(self, digest: str) -> bool:
        return self.path(digest).is_file()

    def put(self, data: bytes) -> str:
        """Keep content; its digest. Raises OSError."""
        digest = digest_of(data)
        self.put_parts([data], digest)
        return digest

    def put_file(self, path: Path, digest: str) -> None:
        """Keep a copy of a file. Raises `Refused` when it does not hold what the digest says, and OSError."""
        with path.open("rb") as file:
            self.put_parts(iter(lambda: file.read(_CHUNK), b""), digest)

    def put_parts(self, parts: Iterable[bytes], digest: str, size: int | None = None) -> None:
        """Keep content that comes in parts. Raises `Refused` when it is not what the digest, and the size where one is
        given, say; then nothing of it stays."""
        if self.whole(digest):
            return
        write_parts(self.path(digest), _checked(parts, digest, size))

    def put_unnamed(self, parts: Iterable[bytes]) -> tuple[str, int]:
        """Keep content whose digest nobody has said; that and its size. Raises OSError."""
        found, size = hashlib.sha256(), 0

        def write(file: IO[bytes]) -> Path:
            nonlocal size
            for part in parts:
                found.update(part)
                size += file.write(part)
            return self.path("sha256:" + found.hexdigest())

        write_file(self.folder, write)
        return "sha256:" + found.hexdigest(), size

    def adopt(self, path: Path, digest: str | None = None, size: int | None = None) -> tuple[str, int]:
        """Keep a file itself, which must lie in this folder; its digest and size. Raises `Refused` as `put_parts` does:
        then the file is gone; and OSError."""
        found, length = hashlib.sha256(), 0
        with path.open("rb+") as file:
            for part in iter(lambda: file.read(_CHUNK), b""):
                found.update(part)
                length += len(part)
            os.fsync(file.fileno())
        came = "sha256:" + found.hexdigest()
        if (digest is not None and came != digest) or (size is not None and length != size):
            path.unlink()
            raise Refused(f"what came is not {digest} of {size} bytes but {came} of {length}")
        path.replace(self.path(came))
        sync_folder(self.folder)
        return came, length

    def read(self, digest: str) -> bytes:
        """The content, at once: for what is small. Raises `Refused` as `parts` does."""
        return b"".join(self.parts(digest))

    def parts(self, digest: str) -> Iterator[bytes]:
        """The content, a piece at a time. Raises `Refused` when it is not there, and at the end when it was not what it
        should be: then it is removed, so that it can be fetched again."""
        path = self.path(digest)
        try:
            file = path.open("rb")
        except OSError as error:
            raise Refused(f"{digest} is not in the store: {error.strerror}") from None
        with file:
            yield from _whole(iter(lambda: file.read(_CHUNK), b""), path, digest)
        with contextlib.suppress(OSError):
            os.utime(path)

    def check(self, digest: str) -> int:
        """Read content again; its bytes. Raises `Refused` as `parts` does."""
        return sum(map(len, self.parts(digest)))

    def begins(self, digest: str, count: int = 16) -> bytes:
        """The first bytes of content that was checked. Raises OSError."""
        with self.path(digest).open("rb") as file:
            return file.read(count)

    def whole(self, digest: str) -> bool:
        """Whether the content is there and undamaged."""
        if not self.has(digest):
            return False
        try:
            self.check(digest)
        except Refused:
            return False
        return True

    def remove(self, digest: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.path(digest).unlink()

    def all(self) -> Iterator[tuple[str, os.stat_result]]:
        """Every blob and what the file system says of it. What killed writers left is removed on the way."""
        for path in leftovers(self.folder):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _STALE_SECONDS:
                    path.unlink()
        with contextlib.suppress(FileNotFoundError):
            for entry in os.scandir(self.folder):
                if _DIGEST.fullmatch(f"sha256:{entry.name}"):
                    with contextlib.suppress(OSError):
                        yield f"sha256:{entry.name}", entry.stat()


def _whole(parts: Iterable[bytes], path: Path, digest: str) -> Iterator[bytes]:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
        yield part
    if "sha256:" + found.hexdigest() != digest:
        path.unlink(missing_ok=True)
        raise Refused(f"{digest} was damaged in the store and is removed; pull it again")


def _checked(parts: Iterable[bytes], digest: str, size: int | None) -> Iterator[bytes]:
    found, length = hashlib.sha256(), 0
    for part in parts:
        found.update(part)
        length += len(part)
        if size is not None and length > size:
            raise Refused(f"more than the {size} bytes that were announced came for {digest}")
        yield part
    if size is not None and length < size:
        raise Refused(f"truncated: {length} of {size} bytes came for {digest}")
    if (came := "sha256:" + found.hexdigest()) != digest:
        raise Refused(f"what came is not {digest} but {came}")
