"""What of WASI 0.2 an operator component may use. Nothing, unless its operation grants it.

Files, environment and network are the engine's to give: an ungranted call is answered with an error or nothing. The
time of day and random numbers it would always give; where they are not granted, functions of ours stand in their place:
the clock shows the epoch, and the random numbers are the same in every instance. So a guest that asks for them at its
start, as language runtimes do, comes up, and learns nothing. The monotonic clock stays: its interface is tied to the
engine's own resources, and it tells how long something takes, not when it is.

So that every refusal is counted, functions of ours also stand where an ungranted guest would begin: making a socket,
looking a name up, listing folders and variables. What comes after a grant (writing to a folder that is read-only) the
engine refuses by itself.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Mapping
from pathlib import Path

import wasmtime
from wasmtime import _ffi as ffi

from flowrt.errors import GuestTrap, StartError
from flowrt.values import Struct, field
from flowrt.wasm.component import owned, values
from flowrt.wasm.component.store import Answer, ComponentStore, HostCall, HostResource, Offer

_RANDOM_MAX = 1 << 16
"""Bytes of one call."""
_CLOCK = ("wasi:clocks/wall-clock@",)
_RANDOM = ("wasi:random/random@", "wasi:random/insecure@", "wasi:random/insecure-seed@")
_SOCKETS = ("wasi:sockets/tcp-create-socket@", "wasi:sockets/udp-create-socket@")
_LOOKUP = "wasi:sockets/ip-name-lookup@"
_FOLDERS = "wasi:filesystem/preopens@"
_ENVIRONMENT = "wasi:cli/environment@"
_STREAM, _NAMES = "resolve-address-stream", 201
"""A resource of the last, and the kind that ours has: apart from those of AIO's host and of wasi-nn."""
_DATETIME = "() -> record {seconds: u64, nanoseconds: u32}"
_SIGNATURES = {
    "now": _DATETIME,
    "resolution": _DATETIME,
    "get-random-bytes": "(u64) -> list<u8>",
    "get-random-u64": "() -> u64",
    "get-insecure-random-bytes": "(u64) -> list<u8>",
    "get-insecure-random-u64": "() -> u64",
    "insecure-seed": "() -> tuple<u64, u64>",
    "get-directories": "() -> list<tuple<own, string>>",
    "get-environment": "() -> list<tuple<string, string>>",
    "get-arguments": "() -> list<string>",
    "initial-cwd": "() -> option<string>",
}


class Folder(Struct, frozen=True):
    """A folder of the host that a guest sees."""

    path: Path
    at: str
    """Its name for the guest."""
    write: bool = False


class Grants(Struct, frozen=True):
    """What one operation grants its component."""

    names: frozenset[str] = frozenset()
    """Of `clock`, `random` and `network`."""
    folders: tuple[Folder, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def apply(self, config: wasmtime.WasiConfig) -> None:
        """Tell the engine. Raises `StartError` for a folder that is not there."""
        if self.environment:
            config.env = list(self.environment.items())
        for folder in self.folders:
            if not folder.path.is_dir():
                raise StartError(f"the folder {folder.path} that it is granted is not there")
            config.preopen_dir(str(folder.path), folder.at, folder.write)
        if "network" in self.names:
            pointer = ctypes.cast(config.ptr(), ctypes.POINTER(ffi.wasi_config_t))
            ffi.wasi_config_inherit_network(pointer)
            ffi.wasi_config_allow_ip_name_lookup(pointer, True)


NOTHING_GRANTED = Grants()


def withheld(imported: Mapping[str, Mapping[str, str]], grants: Grants, deny: Callable[[str], None]) -> Offer:
    """What stands in the place of what a component imports of WASI and is not granted. `imported`: functions and
    signatures by interface; `deny` is told each refused call by its name. An interface is replaced whole, so one that
    has a function we do not know stays the engine's."""
    calls, resources = list[HostCall](), list[HostResource]()
    for interface, functions in imported.items():
        answers = _in_place_of(interface, grants)
        if answers is None or not all(_known(name, signature, answers) for name, signature in functions.items()):
            continue
        calls += [HostCall(interface, name, _counted(answers[name], name, deny)) for name in functions]
        if interface.startswith(_LOOKUP):
            resources.append(HostResource(interface, _STREAM, _NAMES, _never))
    return Offer(calls, resources)


def _in_place_of(interface: str, grants: Grants) -> Mapping[str, Answer] | None:
    """Functions for those of an interface; None where the engine's are right."""
    granted = {
        _CLOCK: "clock" in grants.names,
        _RANDOM: "random" in grants.names,
        (*_SOCKETS, _LOOKUP): "network" in grants.names,
        (_FOLDERS,): bool(grants.folders),
        (_ENVIRONMENT,): bool(grants.environment),
    }
    for prefixes, given in granted.items():
        if not given and interface.startswith(prefixes):
            return _numbers() if prefixes == _RANDOM else _ANSWERS[prefixes]
    return None


def _known(name: str, signature: str, answers: Mapping[str, Answer]) -> bool:
    return name in answers and _SIGNATURES.get(name, signature) == signature


def _counted(answer: Answer, name: str, deny: Callable[[str], None]) -> Answer:
    if name in _UNCOUNTED:
        return answer

    def call(store: ComponentStore, arguments: list[bytes]) -> bytes | None:
        deny(name)
        return answer(store, arguments)

    return call


def _epoch(_store: ComponentStore, _arguments: list[bytes]) -> bytes:
    return owned.record(seconds=values.number(values.U64, 0), nanoseconds=values.number(values.U32, 0))


def _denied(store: ComponentStore, arguments: list[bytes]) -> bytes:
    """The error that WASI's sockets have for this. A borrowed network has to be given back."""
    for argument in arguments:
        if argument[0] == values.RESOURCE:
            store.give_back(values.as_resource(argument))
    return owned.result(ok=False, value=owned.enum("access-denied"))


def _no_items(_store: ComponentStore, _arguments: list[bytes]) -> bytes:
    return owned.sequence()


def _none(_store: ComponentStore, _arguments: list[bytes]) -> bytes:
    return owned.option(None)


def _never(_number: int) -> None:
    """Nobody has a stream of addresses."""


_NO_SOCKETS: Mapping[str, Answer] = {
    "create-tcp-socket": _denied,
    "create-udp-socket": _denied,
    "resolve-addresses": _denied,
    # Of a stream that nobody has: the engine refuses the handle first.
    f"[method]{_STREAM}.resolve-next-address": _denied,
    f"[method]{_STREAM}.subscribe": _denied,
}
_NOTHING_AROUND: Mapping[str, Answer] = {
    "get-environment": _no_items,
    "get-arguments": _no_items,
    "initial-cwd": _none,
}
_ANSWERS: Mapping[tuple[str, ...], Mapping[str, Answer]] = {
    _CLOCK: {"now": _epoch, "resolution": _epoch},
    (*_SOCKETS, _LOOKUP): _NO_SOCKETS,
    (_FOLDERS,): {"get-directories": _no_items},
    (_ENVIRONMENT,): _NOTHING_AROUND,
}
_UNCOUNTED = ("get-arguments", "initial-cwd")
"""No grant gives more."""


def _numbers() -> Mapping[str, Answer]:
    """Numbers that look random and are the same for every node."""
    source = random.Random(0)  # noqa: S311 - not to be unpredictable is what they are for

    def some_bytes(_store: ComponentStore, arguments: list[bytes]) -> bytes:
        size = values.as_int(arguments[0])
        if size > _RANDOM_MAX:
            raise GuestTrap("trap", f"it asks for {size} random bytes; {_RANDOM_MAX} are the most")
        return owned.byte_list(source.randbytes(size))

    def number(_store: ComponentStore, _arguments: list[bytes]) -> bytes:
        return values.number(values.U64, source.getrandbits(64))

    def seed(_store: ComponentStore, _arguments: list[bytes]) -> bytes:
        return owned.pair(*(values.number(values.U64, source.getrandbits(64)) for _ in range(2)))

    return {
        "get-random-bytes": some_bytes,
        "get-insecure-random-bytes": some_bytes,
        "get-random-u64": number,
        "get-insecure-random-u64": number,
        "insecure-seed": seed,
    }
