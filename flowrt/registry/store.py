"""The local store: blobs, and the names that artifacts go by."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from pathlib import Path
from urllib.parse import quote

from flowrt.parsing import parsed
from flowrt.registry.artifact import (
    EMPTY,
    Entry,
    Signature,
    entry_from,
    first_layer,
    kind_of,
    manifest_for,
    named,
    order_of,
)
from flowrt.registry.blobs import Blobs, Refused, digest_of
from flowrt.registry.files import write_whole
from flowrt.registry.trust import Policy, verify

FRESH_SECONDS = 3600.0
"""What came within this time may be half of something that is on its way, and is never tidied away."""


class Store:
    """A folder. Several processes may use it at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.blobs = Blobs(folder)
        self._names = folder / "names"
        self._known = folder / "known"
        """Who signed what, whether it goes by a name or not: a version that ran before stays trusted when its name has
        moved on."""

    def take(self, entry: Entry, policy: Policy, *, downgrade: bool = False) -> Entry:
        """Let an artifact whose blobs are here go by its name. Raises `Refused` when it is not what its manifest says,
        is not signed as the policy asks, or is older than what goes by its name."""
        self.check(entry, policy, downgrade=downgrade)
        self.name(entry)
        return entry

    def check(self, entry: Entry, policy: Policy, *, downgrade: bool = False) -> None:
        """Whether `take` would take it. Raises `Refused`."""
        manifest = self.blobs.read(entry.manifest)
        content, size, _ = first_layer(manifest)
        if content != entry.content:
            raise Refused(f"swapped: the manifest of {entry.reference} is for {content[:26]}, not {entry.content[:26]}")
        if self.blobs.check(content) != size:
            raise Refused(f"truncated: {entry.reference} does not have the {size} bytes that its manifest says")
        if policy.strict or (entry.signatures and policy.keys):
            verify(entry, policy)
        newest = self.newest(entry.name)
        if newest is not None and order_of(entry.version) < order_of(newest.version) and not downgrade:
            words = f"downgraded: {entry.reference} is older than {newest.version}, which is here"
            raise Refused(f"{words}; --allow-downgrade takes it all the same")

    def name(self, entry: Entry) -> None:
        """Let what was checked go by its name. Raises OSError."""
        self.note(entry)
        write_whole(self._path(entry), json.dumps(entry.as_json(), indent=1).encode())

    def note(self, entry: Entry) -> None:
        """Remember who signed what was checked. Raises OSError."""
        if entry.signatures:
            path = self._known / f"{entry.manifest.removeprefix('sha256:')}.json"
            write_whole(path, json.dumps(entry.as_json(), indent=1).encode())

    def add(
        self, data: bytes, reference: str, policy: Policy, *, source: str, downgrade: bool = False,
        signatures: Sequence[Signature] = (),
    ) -> Entry:  # fmt: skip
        """Take content that has no manifest of its own. Raises `Refused` and OSError."""
        made = self.made(*self.blobs.put_unnamed([data]), reference, source=source, signatures=signatures)
        return self.take(made, policy, downgrade=downgrade)

    def made(
        self, content: str, size: int, reference: str, *, source: str, signatures: Sequence[Signature] = ()
    ) -> Entry:
        """An artifact of content that is here and has no manifest of its own: not yet by its name. Raises `Refused` for
        a name that is none, and OSError."""
        name, version = named(reference)
        kind = kind_of(self.blobs.begins(content), name=source)
        manifest = manifest_for(kind, name, version, content, size)
        for blob in (EMPTY, manifest):
            self.blobs.put(blob)
        return Entry(kind, name, version, digest_of(manifest), content, size, tuple(signatures), source)

    def get(self, reference: str) -> Entry:
        """By `name:version`, or the newest of a name. Raises `Refused`."""
        found = self.newest(reference) if ":" not in reference else self._read(self._path_of(*named(reference)))
        if found is None:
            raise Refused(f"{reference} is not in the store")
        return found

    def newest(self, name: str) -> Entry | None:
        """The highest version that goes by a name."""
        found = [entry for entry in self.all() if entry.name == name]
        return max(found, key=lambda entry: order_of(entry.version), default=None)

    def all(self) -> Iterator[Entry]:
        """Every artifact, by name and version. An entry that cannot be read is left out."""
        for path in sorted(self._names.glob("*.json")):
            if (entry := self._read(path)) is not None:
                yield entry

    def find(self, name: str, sha256: str | None) -> Path | None:
        """A module by its name in a graph, or by its digest alone where the graph gives one."""
        if sha256 is not None:
            digest = f"sha256:{sha256}"
            return self.blobs.path(digest) if self.blobs.whole(digest) else None
        with contextlib.suppress(Refused):
            entry = self.get(name)
            self.blobs.check(entry.content)
            return self.blobs.path(entry.content)
        return None

    def trusted(self, digest: str, policy: Policy) -> bool:
        """Whether something that holds this content is signed as the policy asks."""
        noted = (entry for path in self._known.glob("*.json") if (entry := self._read(path)) is not None)
        for entry in (*noted, *self.all()):
            if entry.content == digest:
                with contextlib.suppress(Refused):
                    verify(entry, policy)
                    return True
        return False

    def remove(self, reference: str) -> None:
        """Let a name go; what it held goes when nothing else needs it. Raises `Refused`."""
        self.forget(self.get(reference))

    def forget(self, entry: Entry) -> None:
        """The same of what is known."""
        self._path(entry).unlink(missing_ok=True)

    def tidy(self, needed: AbstractSet[str]) -> int:
        """Remove blobs that neither a name nor `needed` holds; how many bytes that gave back."""
        kept = set(needed).union({digest_of(EMPTY)}, *(entry.digests for entry in self.all()))
        freed, now = 0, time.time()
        for digest, found in list(self.blobs.all()):
            if digest not in kept and now - found.st_mtime > FRESH_SECONDS:
                self.blobs.remove(digest)
                freed += found.st_size
        for path in self._known.glob("*.json"):
            if (entry := self._read(path)) is None or not self.blobs.has(entry.content):
                path.unlink(missing_ok=True)
        return freed

    def _path(self, entry: Entry) -> Path:
        return self._path_of(entry.name, entry.version)

    def _path_of(self, name: str, version: str) -> Path:
        return self._names / f"{quote(name, safe='')}@{quote(version, safe='')}.json"

    def _read(self, path: Path) -> Entry | None:
        with contextlib.suppress(OSError, ValueError, Refused):
            return entry_from(parsed(path.read_bytes()))
        return None
