"""Artifacts from afar for updates: brought into the store, checked and proven to be signed; named only when told to."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urlsplit

from flowrt.endpoints.secrets import secret
from flowrt.graph.remote import Access
from flowrt.registry.artifact import Entry, named, signatures_from
from flowrt.registry.blobs import Refused, checked_digest
from flowrt.registry.store import Store
from flowrt.registry.transfer import Link, download, look, small
from flowrt.registry.trust import Policy, policy_path, read_policy, verify

if TYPE_CHECKING:
    from flowrt.registry.oci import Registry

SIGNATURES_BYTES_MAX = 2**20
GRAPH_BYTES_MAX = 4 * 2**20
Progress = Callable[[int, int], None]


class Fetcher:
    """Of one runtime. Any thread may use it."""

    def __init__(self, store: Store, state: Path, most: int | None = None) -> None:
        """`most`: bytes that artifacts may take on the disk."""
        self._store = store
        self._most = most
        self._state = state

    def policy(self) -> Policy:
        """As it is now. Raises `StartError`."""
        return read_policy(policy_path(self._state))

    def tag(self, source: str, access: Access | None) -> str:
        """What tells whether there is something new: it costs one question. Raises `Refused` and OSError."""
        if not source.startswith("oci://"):
            found = look(source)
            return f"{found.tag} {found.size}"
        from flowrt.registry.oci import parse_reference

        reference = parse_reference(source)
        return _registry(reference.host, access).resolve(reference)

    def bring(self, source: str, access: Access | None, name: str = "", progress: Progress | None = None) -> Entry:
        """Into the store, and checked against the trust policy, but not yet by its name. Raises `Refused`, `StartError`
        and OSError."""
        link = Link(float(access.rate) if access is not None and access.rate else None, most=self._most)
        if progress is not None:
            link.progress = progress
        if source.startswith("oci://"):
            from flowrt.registry.oci import parse_reference

            reference = parse_reference(source)
            wanted = named(name)[0] if name else reference.name
            entry = _registry(reference.host, access).pull(reference, wanted, self._store.blobs, link)
        else:
            entry = self._by_http(source, name or name_of(source), link)
        self._store.check(entry, self.policy())
        return entry

    def graph(self, reference: str) -> tuple[Entry, str]:
        """A graph of the store by `name:version` or digest, and its text. Raises `Refused` and `StartError`."""
        if reference.startswith("sha256:"):
            digest = checked_digest(reference)
            entry = next((one for one in self._store.all() if digest in one.digests), None)
            if entry is None:
                raise Refused(f"{digest[:26]} is no artifact of the store")
        else:
            entry = self._store.get(reference)
        return entry, self.text(entry)

    def text(self, entry: Entry) -> str:
        """The text of a graph that was brought. Raises `Refused` and `StartError`."""
        policy = self.policy()
        if policy.strict:
            verify(entry, policy)
        if entry.kind != "graph":
            raise Refused(f"{entry.reference} is a {entry.kind}, not a graph")
        if entry.size > GRAPH_BYTES_MAX:
            raise Refused(f"{entry.reference} has {entry.size} bytes; a graph has {GRAPH_BYTES_MAX} at most")
        try:
            return self._store.blobs.read(entry.content).decode("utf-8-sig")
        except UnicodeDecodeError:
            raise Refused(f"{entry.reference} is not UTF-8 text") from None

    def _by_http(self, source: str, name: str, link: Link) -> Entry:
        named(name)
        content, size = download(source, self._store.blobs, link)
        try:
            beside = small(f"{urldefrag(source)[0]}.sig", SIGNATURES_BYTES_MAX)
        except Refused:
            beside = b""
        signatures = signatures_from(beside)
        return self._store.made(content, size, name, source=urldefrag(source)[0], signatures=signatures)


def host_of(source: str) -> str:
    """`HOST[:PORT]` of an address."""
    return urlsplit(source).netloc


def name_of(source: str) -> str:
    """`pump-1.2.0.wasm` is pump:1.2.0. Raises `Refused` where the file's name says no version."""
    last = Path(urlsplit(urldefrag(source)[0]).path).name
    stem = last.rpartition(".")[0] or last
    name, dash, version = stem.partition("-")
    while dash and not version[:1].isdigit():
        more, dash, version = version.partition("-")
        name = f"{name}-{more}"
    if not dash:
        raise Refused(f"'{last}' says no version; give --as NAME:VERSION")
    return f"{name}:{version}"


def _registry(host: str, access: Access | None) -> Registry:
    from flowrt.registry.oci import Registry

    user = password = None
    insecure = access is not None and access.insecure
    if access is not None and (who := access.credentials) is not None:
        try:
            user = who.username or secret(who.username_file, who.username_credential)
            password = secret(who.password_file, who.password_credential)
        except ValueError as error:
            raise Refused(str(error)) from None
    return Registry(host, insecure=insecure, user=user or "", password=password or "")
