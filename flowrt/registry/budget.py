"""One disk budget for what the store holds and for compiled code: what was used longest ago gives way.

What a running version, the one before it and one that is being tried need never gives way, even when that alone is more
than the budget: then nothing else stays, and nothing new is taken.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from pathlib import Path
from typing import NamedTuple

from flowrt.counters import STORE
from flowrt.quota.quantity import format_bytes, parse_bytes
from flowrt.registry.artifact import EMPTY
from flowrt.registry.blobs import Refused, digest_of
from flowrt.registry.cache_folder import DIGEST_CHARACTERS
from flowrt.registry.store import Store
from flowrt.values import Struct

DEFAULT_BYTES = 2 * 2**30
_MADE = {"code": ".code", "graphs": ".graph", "embedded": ""}
"""Folders of what can be made again, and how its files' names end: compiled code, graph files as they were read, which
are small, and models that modules carry. These stay: any runtime of this user may load one from its file again."""


class Item(NamedTuple):
    """A file that counts."""

    path: str
    size: int
    used: float
    """When it was used last, in seconds since 1970."""
    needed: bool
    digest: str = ""
    """Of a blob; empty for what can be made again."""


class Usage(Struct, frozen=True):
    """What is on disk, in bytes."""

    budget: int
    store: int
    code: int
    """Compiled code, and what else the cache folder holds."""
    needed: int
    """Of both."""

    @property
    def total(self) -> int:
        return self.store + self.code

    def __str__(self) -> str:
        parts = [f"artifacts {format_bytes(self.store)}", f"compiled code {format_bytes(self.code)}"]
        words = f"{format_bytes(self.total)} of {format_bytes(self.budget)}: {', '.join(parts)}"
        return f"{words}; {format_bytes(self.needed)} of it never gives way"


def disk_budget(given: int | None = None) -> int:
    """What was given, else `FLOWRT_DISK`, else 2 GiB. Raises ValueError for a size that is none."""
    if given is not None:
        return given
    text = os.environ.get("FLOWRT_DISK")
    return DEFAULT_BYTES if text is None else parse_bytes(text)


def usage(store: Store, needed: AbstractSet[str], budget: int, code: Path | None) -> Usage:
    """What is there at present."""
    return _told(list(_items(store, needed, code)), budget)


def keep_within(store: Store, needed: AbstractSet[str], budget: int, code: Path | None) -> Usage:
    """Let go of what has not been used for longest until the rest is within the budget; what is there then. Names of
    artifacts go with what they name."""
    items = list(_items(store, needed, code))
    gone = to_let_go(items, budget)
    for item in gone:
        with contextlib.suppress(OSError):
            Path(item.path).unlink()
            STORE.evicted += 1
    blobs = {item.digest for item in gone if item.digest}
    for entry in list(store.all()) if blobs else ():
        if entry.digests & blobs:
            store.forget(entry)
    left = set(gone)
    return _told([item for item in items if item not in left], budget)


def make_room(store: Store, needed: AbstractSet[str], coming: AbstractSet[str], budget: int, code: Path | None) -> None:
    """The same for what has just come, which stays. Raises `Refused` where there is no room for it: then it is gone."""
    found = keep_within(store, needed | coming, budget, code)
    if found.total > budget:
        for digest in coming - needed:
            store.blobs.remove(digest)
        words = f"disk: {format_bytes(budget)} are not enough for it beside what running versions need"
        raise Refused(f"{words}, which is {format_bytes(found.needed)}; see --disk")


def to_let_go(items: Iterable[Item], budget: int) -> list[Item]:
    """Which to remove, the longest unused first. Pure."""
    items = list(items)
    over = sum(item.size for item in items) - budget
    gone = []
    for item in sorted((item for item in items if not item.needed), key=lambda item: item.used):
        if over <= 0:
            break
        gone.append(item)
        over -= item.size
    return gone


def _items(store: Store, needed: AbstractSet[str], code: Path | None) -> Iterator[Item]:
    for digest, found in store.blobs.all():
        kept = digest in needed or digest == digest_of(EMPTY)
        yield Item(str(store.blobs.path(digest)), found.st_size, found.st_mtime, kept, digest)
    modules = {digest.removeprefix("sha256:")[:DIGEST_CHARACTERS] for digest in needed}
    if code is None:
        return
    for folder, suffix in _MADE.items():
        with contextlib.suppress(OSError):
            for entry in os.scandir(code / folder):
                if entry.name.endswith(suffix):
                    with contextlib.suppress(OSError):
                        found = entry.stat(follow_symlinks=False)
                        kept = folder == "embedded" or entry.name.partition("-")[0] in modules
                        yield Item(entry.path, found.st_size, found.st_mtime, kept)


def _told(items: Iterable[Item], budget: int) -> Usage:
    items = list(items)
    found = Usage(
        budget,
        sum(item.size for item in items if item.digest),
        sum(item.size for item in items if not item.digest),
        sum(item.size for item in items if item.needed),
    )
    STORE.budget, STORE.store, STORE.code, STORE.needed = found.budget, found.store, found.code, found.needed
    return found
