"""Artifacts in one file, for gateways without a network: a tar of an index and of blobs by digest."""

from __future__ import annotations

import io
import json
import os
import re
import tarfile
from collections.abc import Iterable, Iterator
from errno import ENOENT
from pathlib import Path
from typing import IO

from flowrt.parsing import parsed
from flowrt.registry.artifact import EMPTY, Entry, entry_from
from flowrt.registry.blobs import Blobs, Refused, digest_of
from flowrt.registry.files import make_folder, write_file
from flowrt.registry.room import require_room
from flowrt.registry.store import Store
from flowrt.registry.transfer import CHUNK, SIZE_MAX
from flowrt.registry.trust import Policy

INDEX = "index.json"
INDEX_BYTES_MAX = 16 * 2**20
_MEMBER = re.compile(r"blobs/sha256/([0-9a-f]{64})")


def export(store: Store, entries: Iterable[Entry], path: Path) -> int:
    """Write artifacts and their signatures to a file; how many bytes. Raises `Refused` for what is damaged, OSError."""
    if not path.parent.is_dir():  # a stick that is not there must not become a folder of the gateway's own disk
        raise FileNotFoundError(ENOENT, os.strerror(ENOENT), str(path.parent))
    entries = list(entries)
    index = json.dumps([entry.as_json() for entry in entries], indent=1).encode()
    digests = sorted({digest for entry in entries for digest in entry.digests} - {digest_of(EMPTY)})
    for digest in digests:
        store.blobs.check(digest)  # nothing is written of what is damaged

    def write(file: IO[bytes]) -> Path:
        with tarfile.open(fileobj=file, mode="w|", format=tarfile.PAX_FORMAT) as tar:
            _add(tar, INDEX, len(index), io.BytesIO(index))
            _add(tar, _member(digest_of(EMPTY)), len(EMPTY), io.BytesIO(EMPTY))
            for digest in digests:
                with store.blobs.path(digest).open("rb") as blob:
                    _add(tar, _member(digest), os.fstat(blob.fileno()).st_size, blob)
        return path

    write_file(path.parent, write, 0o644)
    return path.stat().st_size


def take(store: Store, path: Path, policy: Policy, *, downgrade: bool = False, most: int | None = None) -> list[Entry]:
    """Take everything a file holds. `most`: bytes that artifacts may take on the disk. Raises `Refused` for the first
    thing that is not as it must be: what came before it stays, whole and named. Raises OSError."""
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r|") as tar:
            entries = _read(tar, store.blobs, most)
    except tarfile.TarError as error:
        raise Refused(f"{path} is truncated, or no bundle: {error}") from None
    return [store.take(entry, policy, downgrade=downgrade) for entry in entries]


def _read(tar: tarfile.TarFile, blobs: Blobs, most: int | None) -> list[Entry]:
    """Every member is a plain file under a name of ours: nothing is ever written where a member's name says, and
    nothing that the index, which comes first, does not name."""
    entries: list[Entry] = []
    named, total = {digest_of(EMPTY)}, 0
    for member in tar:
        if not member.isfile() or member.size > SIZE_MAX:
            raise Refused(f"path: '{member.name[:100]}' is not a plain file")
        file = tar.extractfile(member)
        if file is None:
            raise Refused(f"path: '{member.name[:100]}' holds nothing")
        if member.name == INDEX and member.size <= INDEX_BYTES_MAX:
            entries = _entries(file.read())
            named = named.union(*(entry.digests for entry in entries))
        elif (found := _MEMBER.fullmatch(member.name)) and f"sha256:{found[1]}" in named:
            total += member.size
            make_folder(blobs.folder)
            require_room(blobs.folder, total, member.size, most)
            blobs.put_parts(_parts(file), f"sha256:{found[1]}", member.size)
        elif found and not entries:
            raise Refused("the bundle names no artifact: its index does not come first")
        else:
            raise Refused(f"path: '{member.name[:100]}' has no place in a bundle")
    if not entries:
        raise Refused("the bundle names no artifact")
    return entries


def _parts(file: IO[bytes]) -> Iterator[bytes]:
    yield from iter(lambda: file.read(CHUNK), b"")


def _entries(data: bytes) -> list[Entry]:
    try:
        value = parsed(data)
    except ValueError as error:
        raise Refused(f"the bundle's index cannot be read: {error}") from None
    if not isinstance(value, list):
        raise Refused("the bundle's index is no list")
    if not value:
        raise Refused("the bundle names no artifact")
    return [entry_from(one) for one in value]


def _member(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"


def _add(tar: tarfile.TarFile, name: str, size: int, content: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o644
    tar.addfile(member, content)
