"""`flowrt pull`: artifacts into the local store, whole, checked and, where the policy says so, signed.

Exit status 0, 1 when something was refused or could not be reached.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urldefrag, urlsplit

from flowrt.cli.apply import add_disk, add_state, disk
from flowrt.errors import in_words
from flowrt.quota.quantity import parse_bytes
from flowrt.registry.artifact import Entry, Signature, signatures_from
from flowrt.registry.blobs import Refused
from flowrt.registry.budget import make_room
from flowrt.registry.cache_folder import cache_folder
from flowrt.registry.files import make_folder
from flowrt.registry.room import require_room
from flowrt.registry.store import Store
from flowrt.registry.transfer import CHUNK, Link, download, small
from flowrt.registry.trust import Policy, policy_path, read_policy
from flowrt.runtime.places import state_folder
from flowrt.updates.fetching import SIGNATURES_BYTES_MAX, name_of
from flowrt.updates.journal import Journal

if TYPE_CHECKING:
    from flowrt.registry.oci import Registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", nargs="+", metavar="SOURCE", help="file, http(s)://… (#sha256=… pins it) or oci://HOST/PATH:TAG"
    )
    parser.add_argument("--as", dest="name", metavar="NAME:VERSION", help="what it goes by in the store")
    parser.add_argument("--rate", type=_rate, metavar="SIZE", help="bytes a second at most, as 64Ki")
    parser.add_argument("--allow-downgrade", action="store_true", help="also when a newer version is here")
    add_registry(parser)
    add_disk(parser)
    add_state(parser)


def add_registry(parser: argparse.ArgumentParser) -> None:
    """How to reach an OCI registry."""
    parser.add_argument("--insecure", action="store_true", help="plain HTTP to the registry")
    parser.add_argument("--user", default="", metavar="NAME", help="user of the registry")
    parser.add_argument("--password-file", type=Path, metavar="FILE", help="file with the user's password or token")


def run(options: argparse.Namespace) -> int:
    state = state_folder(options.state)
    store, policy = Store(state / "store"), read_policy(policy_path(state))
    failed = 0
    for source in options.sources:
        try:
            entry = _pull(source, options, store, policy)
            make_room(store, Journal(state).digests(), entry.digests, disk(options), cache_folder())
        except (Refused, OSError) as error:
            failed += 1
            print(f"{source}: {in_words(error, source)}", file=sys.stderr)
        else:
            print(f"{entry.reference} {entry.kind} {entry.content} {entry.size}")
    return 1 if failed else 0


def _pull(source: str, options: argparse.Namespace, store: Store, policy: Policy) -> Entry:
    link = Link(options.rate, _progress(source), disk(options))
    if source.startswith("oci://"):
        from flowrt.registry.oci import parse_reference

        reference = parse_reference(source)
        wanted, _, tag = (options.name or "").partition(":")
        del tag  # an artifact keeps the version that its registry knows it by
        registry = registry_of(reference.host, options)
        entry = registry.pull(reference, wanted or reference.name, store.blobs, link)
        return store.take(entry, policy, downgrade=options.allow_downgrade)
    content, size, signatures = _content(source, store, link)
    entry = store.made(
        content, size, options.name or name_of(source), source=urldefrag(source)[0], signatures=signatures
    )
    return store.take(entry, policy, downgrade=options.allow_downgrade)


def registry_of(host: str, options: argparse.Namespace) -> Registry:
    """The registry that the options reach."""
    from flowrt.registry.oci import Registry

    password = options.password_file.read_text(encoding="utf-8").strip() if options.password_file else ""
    password = password or os.environ.get("FLOWRT_REGISTRY_PASSWORD", "")
    return Registry(host, insecure=options.insecure, user=options.user, password=password)


def _content(source: str, store: Store, link: Link) -> tuple[str, int, tuple[Signature, ...]]:
    """A file, in the store: its digest, its size and, from `FILE.sig` beside it, who has signed it."""
    if urlsplit(source).scheme in ("http", "https"):
        address, pin = urldefrag(source)
        content, size = download(source, store.blobs, link)
        try:
            beside = small(f"{address}.sig", SIGNATURES_BYTES_MAX)
        except Refused:
            beside = b""
    elif "://" in source:
        raise Refused("nothing is brought that way; name a file, http(s)://… or oci://HOST/PATH:TAG")
    else:
        address, _, pin = source.partition("#")
        make_folder(store.blobs.folder)
        size = Path(address).stat().st_size
        require_room(store.blobs.folder, size, size, link.most)
        with Path(address).open("rb") as file:
            content, size = store.blobs.put_unnamed(iter(lambda: file.read(CHUNK), b""))
        sig = Path(f"{address}.sig")
        beside = sig.read_bytes() if sig.is_file() else b""
    if pin and content != pin.replace("sha256=", "sha256:"):
        raise Refused(f"swapped: {address} holds {content}, not what is pinned")
    return content, size, signatures_from(beside)


def _progress(source: str) -> Callable[[int, int], None]:
    if not sys.stderr.isatty():
        return lambda _done, _total: None

    def show(done: int, total: int) -> None:
        print(f"\r{source}: {done} of {total} bytes", end="\n" if done == total else "", file=sys.stderr, flush=True)

    return show


def _rate(text: str) -> float:
    try:
        rate = float(parse_bytes(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    if not rate:
        raise argparse.ArgumentTypeError("at a rate of 0 nothing would come")
    return rate
