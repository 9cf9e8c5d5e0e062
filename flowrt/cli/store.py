"""`flowrt store`: what the local store holds.

Exit status 0, 1 when something was refused or is damaged.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from flowrt.cli.apply import add_disk, add_state, disk
from flowrt.errors import in_words
from flowrt.registry import bundle
from flowrt.registry.artifact import Entry
from flowrt.registry.blobs import Refused
from flowrt.registry.budget import keep_within, usage
from flowrt.registry.cache_folder import cache_folder
from flowrt.registry.store import Store
from flowrt.registry.trust import Policy, make_key, policy_path, read_policy, signed, verify
from flowrt.runtime.places import state_folder
from flowrt.updates.journal import Journal
from flowrt.values import replace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="every artifact, its digest, size and who signed it")
    room = actions.add_parser("usage", help="what artifacts and compiled code take on disk, and what never gives way")
    check = actions.add_parser("verify", help="read everything again and compare it with its digest and signatures")
    drop = actions.add_parser("remove", help="let names go")
    drop.add_argument("artifacts", nargs="+", metavar="NAME:VERSION", help="artifact")
    sign = actions.add_parser("sign", help="sign artifacts with a private key")
    sign.add_argument("artifacts", nargs="+", metavar="NAME:VERSION", help="artifact")
    sign.add_argument("--key", type=Path, required=True, metavar="FILE", help="private key, PEM")
    sign.add_argument("--detach", type=Path, metavar="FILE", help="also write the signature here, for FILE.sig")
    make = actions.add_parser("keygen", help="make a pair of keys")
    make.add_argument("name", type=Path, metavar="NAME", help="NAME.key and NAME.pub are written")
    out = actions.add_parser("export", help="write artifacts to one file")
    out.add_argument("file", type=Path, metavar="FILE", help="bundle")
    out.add_argument("artifacts", nargs="*", metavar="NAME:VERSION", help="artifact; all where none is named")
    back = actions.add_parser("import", help="take all artifacts of a file")
    back.add_argument("file", type=Path, metavar="FILE", help="bundle")
    back.add_argument("--allow-downgrade", action="store_true", help="also when a newer version is here")
    for action in (listing, room, check, drop, sign, out, back):
        add_state(action)
    for action in (room, back):
        add_disk(action)


def run(options: argparse.Namespace) -> int:
    actions: dict[str, Callable[[argparse.Namespace, Store, Policy], int]] = {
        "list": _list, "usage": _usage, "verify": _verify, "remove": _remove, "sign": _sign, "export": _export,
        "import": _import,
    }  # fmt: skip
    try:
        if options.action == "keygen":
            return _keygen(options.name)
        state = state_folder(options.state)
        return actions[options.action](options, Store(state / "store"), read_policy(policy_path(state)))
    except (Refused, OSError) as error:
        print(in_words(error), file=sys.stderr)
        return 1


def _list(_: argparse.Namespace, store: Store, policy: Policy) -> int:
    for entry in store.all():
        print(f"{entry.reference} {entry.kind} {entry.content} {entry.size} {_signer(entry, policy)}")
    return 0


def _usage(options: argparse.Namespace, store: Store, _: Policy) -> int:
    needed = Journal(state_folder(options.state)).digests()
    print(usage(store, needed, disk(options), cache_folder()))
    return 0


def _verify(_: argparse.Namespace, store: Store, policy: Policy) -> int:
    failed = 0
    for entry in store.all():
        try:
            for digest in entry.digests:
                store.blobs.check(digest)
            if policy.strict:
                verify(entry, policy)
            print(f"{entry.reference} sound, {_signer(entry, policy)}")
        except Refused as refused:
            failed += 1
            print(f"{entry.reference}: {refused}", file=sys.stderr)
    return 1 if failed else 0


def _remove(options: argparse.Namespace, store: Store, _: Policy) -> int:
    for artifact in options.artifacts:
        store.remove(artifact)
    return 0


def _sign(options: argparse.Namespace, store: Store, _: Policy) -> int:
    key = options.key.read_bytes()
    made = []
    for artifact in options.artifacts:
        entry = store.get(artifact)
        signature = signed(entry, key)
        made.append(signature)
        store.take(replace(entry, signatures=(*entry.signatures, signature)), Policy(), downgrade=True)
        print(f"{entry.reference} signed")
    if options.detach is not None:
        text = [
            {"payload": base64.b64encode(one.payload).decode(), "signature": base64.b64encode(one.signature).decode()}
            for one in made
        ]
        options.detach.write_text(json.dumps(text))
    return 0


def _keygen(name: Path) -> int:
    secret, public = make_key()
    handle = os.open(f"{name}.key", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(secret)
    Path(f"{name}.pub").write_bytes(public)
    print(
        f'{name}.key is secret; {name}.pub goes into trust.toml:\n\n[keys.{name.name}]\nkey = """\n{public.decode()}"""'
    )
    return 0


def _export(options: argparse.Namespace, store: Store, _: Policy) -> int:
    entries: Iterable[Entry] = [store.get(name) for name in options.artifacts] or store.all()
    print(f"{options.file}: {bundle.export(store, entries, options.file)} bytes")
    return 0


def _import(options: argparse.Namespace, store: Store, policy: Policy) -> int:
    for entry in bundle.take(store, options.file, policy, downgrade=options.allow_downgrade, most=disk(options)):
        print(f"{entry.reference} {entry.kind} {entry.content} {_signer(entry, policy)}")
    keep_within(store, Journal(state_folder(options.state)).digests(), disk(options), cache_folder())
    return 0


def _signer(entry: Entry, policy: Policy) -> str:
    if not entry.signatures:
        return "unsigned"
    if not policy.keys:
        return "signed, no key is trusted here"
    try:
        return f"signed by {verify(entry, policy)}"
    except Refused:
        return "signed by nobody who is trusted"
