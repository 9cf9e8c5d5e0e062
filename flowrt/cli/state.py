"""`flowrt state`: what operators keep in the state store. Safe while a runtime runs."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from flowrt.errors import StartError
from flowrt.quota.quantity import parse_seconds
from flowrt.runtime.places import STATE_STORE, state_folder
from flowrt.state.files import Seed, line_of, seeds
from flowrt.state.store import Refused, StateStore


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def action(name: str, text: str) -> argparse.ArgumentParser:
        made = actions.add_parser(name, help=text)
        made.add_argument("--state", type=Path, metavar="DIR", help="the runtime's state folder")
        return made

    listed = action("list", "keys, a line each: bytes of the value, version, expiry")
    listed.add_argument("prefix", nargs="?", default="", metavar="PREFIX", help="only keys that begin so")
    action("get", "the value of a key, as it is").add_argument("key", metavar="KEY", help="the key")
    put = action("set", "set a key to a value")
    put.add_argument("key", metavar="KEY", help="the key")
    put.add_argument("value", metavar="VALUE", help="its value")
    put.add_argument("--expires", type=_duration, metavar="DURATION", help="after which the key is gone, as 10m")
    action("del", "delete keys").add_argument("keys", nargs="+", metavar="KEY", help="the key")
    action("export", "everything, as JSON lines")
    taken = action("import", "set what an export or a seed file holds")
    taken.add_argument(
        "file", type=Path, metavar="FILE", help="JSON lines of an export, or JSON objects of keys and values"
    )
    for parser_of_one in (put, taken):
        parser_of_one.add_argument("--new", action="store_true", help="leave keys alone that are there")


def run(options: argparse.Namespace) -> int:
    path = state_folder(options.state) / STATE_STORE
    if options.action not in {"set", "import"} and not path.exists():
        raise StartError(f"there is no state store at {path}; nothing was kept, or --state is another")
    store = StateStore(path)
    try:
        return _ACTIONS[options.action](store, options)
    except Refused as refused:
        print(f"flowrt state: {refused}", file=sys.stderr)
        return 1
    finally:
        store.close()


def seed(path: Path, state: Path | None) -> None:
    """Set the keys of a file that the store in this state folder does not hold. Raises `StartError`."""
    try:
        found = seeds(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise StartError(f"--seed-state {path}: {getattr(error, 'strerror', None) or error}") from error
    store = StateStore(state_folder(state) / STATE_STORE)
    try:
        _write(store, found, new=True)
    except Refused as refused:
        raise StartError(f"--seed-state {path}: {refused}") from refused
    finally:
        store.close()


def _write(store: StateStore, found: Sequence[Seed], *, new: bool) -> int:
    """How many keys were set; those that have expired are left out."""
    now, written = time.time_ns() // 1_000_000, 0
    for each in found:
        if each.expires is None or each.expires > now:
            left = None if each.expires is None else each.expires - now
            written += store.set(each.key, each.value, "new" if new else "always", expires_ms=left) is not None
    return written


def _list(store: StateStore, options: argparse.Namespace) -> int:
    for entry in store.entries():
        key = entry.key.decode("utf-8", "backslashreplace")
        if key.startswith(options.prefix):
            expires = "" if entry.expires is None else f"  expires {_moment(entry.expires)}"
            version = f"{_moment(entry.version.ms)}:{entry.version.counter}"
            print(f"{key}  {len(entry.value)} bytes  {version}{expires}")
    return 0


def _get(store: StateStore, options: argparse.Namespace) -> int:
    found = store.get(options.key.encode())
    if found is None:
        print(f"flowrt state: there is no key {options.key}", file=sys.stderr)
        return 1
    sys.stdout.flush()
    sys.stdout.buffer.write(found[0])
    sys.stdout.buffer.flush()
    return 0


def _set(store: StateStore, options: argparse.Namespace) -> int:
    key, value = options.key.encode(), options.value.encode()
    expires = None if options.expires is None else max(1, round(options.expires * 1000))
    if store.set(key, value, "new" if options.new else "always", expires_ms=expires) is None:
        print(f"flowrt state: the key {options.key} is there already", file=sys.stderr)
        return 1
    return 0


def _del(store: StateStore, options: argparse.Namespace) -> int:
    missing = [key for key in options.keys if not store.delete(key.encode())]
    for key in missing:
        print(f"flowrt state: there is no key {key}", file=sys.stderr)
    return 1 if missing else 0


def _export(store: StateStore, _options: argparse.Namespace) -> int:
    for entry in store.entries():
        print(line_of(entry))
    return 0


def _import(store: StateStore, options: argparse.Namespace) -> int:
    try:
        found = seeds(options.file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        print(f"flowrt state: {options.file}: {getattr(error, 'strerror', None) or error}", file=sys.stderr)
        return 1
    print(f"{_write(store, found, new=options.new)} of {len(found)} keys set")
    return 0


_ACTIONS: dict[str, Callable[[StateStore, argparse.Namespace], int]] = {
    "list": _list,
    "get": _get,
    "set": _set,
    "del": _del,
    "export": _export,
    "import": _import,
}


def _moment(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _duration(text: str) -> float:
    try:
        return parse_seconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
