"""What of WASI 0.2 an operator component may use. Nothing, unless its operation grants it.

Files, environment and network are the engine's to give or to refuse: an ungranted call is answered with an error. The
time of day and random numbers it would always give; where they are not granted, functions of ours stand in their place:
the clock shows the epoch, and the random numbers are the same in every instance. So a guest that asks for them at its
start, as language runtimes do, comes up, and learns nothing. The monotonic clock stays: its interface is tied to the
engine's own resources, and it tells how long something takes, not when it is.
"""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import wasmtime
from wasmtime import _ffi as ffi

from flowrt.errors import GuestTrap, StartError
from flowrt.wasm.component import owned, values
from flowrt.wasm.component.store import Answer, ComponentStore, HostCall

_RANDOM_MAX = 1 << 16
"""Bytes of one call."""
_CLOCK = "wasi:clocks/wall-clock@"
_RANDOM = ("wasi:random/random@", "wasi:random/insecure@", "wasi:random/insecure-seed@")
_DATETIME = "() -> record {seconds: u64, nanoseconds: u32}"
_SIGNATURES = {
    "now": _DATETIME,
    "resolution": _DATETIME,
    "get-random-bytes": "(u64) -> list<u8>",
    "get-random-u64": "() -> u64",
    "get-insecure-random-bytes": "(u64) -> list<u8>",
    "get-insecure-random-u64": "() -> u64",
    "insecure-seed": "() -> tuple<u64, u64>",
}


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder of the host that a guest sees."""

    path: Path
    at: str
    """Its name for the guest."""
    write: bool = False


@dataclass(frozen=True, slots=True)
class Grants:
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


def withheld(
    imported: Mapping[str, Mapping[str, str]], granted: Collection[str], deny: Callable[[str], None]
) -> Sequence[HostCall]:
    """What stands in the place of clocks and random numbers that a component imports and is not granted. `imported`:
    functions and signatures by interface; `deny` is told each call by its name."""
    answers = {**({} if "clock" in granted else _CLOCKS), **({} if "random" in granted else _numbers())}
    return [
        HostCall(interface, name, _counted(answers[name], name, deny))
        for interface, functions in imported.items()
        if interface.startswith((_CLOCK, *_RANDOM)) and functions.keys() <= answers.keys()
        for name, signature in functions.items()
        if signature == _SIGNATURES[name]
    ]


def _counted(answer: Answer, name: str, deny: Callable[[str], None]) -> Answer:
    def call(store: ComponentStore, arguments: list[bytes]) -> bytes | None:
        deny(name)
        return answer(store, arguments)

    return call


def _epoch(_store: ComponentStore, _arguments: list[bytes]) -> bytes:
    return owned.record(seconds=values.number(values.U64, 0), nanoseconds=values.number(values.U32, 0))


_CLOCKS: Mapping[str, Answer] = {"now": _epoch, "resolution": _epoch}


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
