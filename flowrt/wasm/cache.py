"""Compiled code on disk, so that the second start of a graph compiles nothing.

Loading compiled code is executing it: the folder and its files must be ours alone and whole, as `registry/own_files.py`
sees to.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import wasmtime

from flowrt.registry.cache_folder import DIGEST_CHARACTERS, cache_folder
from flowrt.registry.own_files import own_folder, read_own, write_own
from flowrt.wasm.engine import PLAIN, Engine, Variant

if TYPE_CHECKING:
    from wasmtime import component as native

REVISION = 3
"""Of what `component/direct.py` makes of a component: compiled code is of one of them."""
_Code = TypeVar("_Code", wasmtime.Module, "native.Component")


class CodeCache:
    """`directory` None: `$CACHE_DIRECTORY` (of a systemd service), `$XDG_CACHE_HOME/flowrt` or `~/.cache/flowrt`. Where
    no folder can be had, every look-up is a miss and nothing is kept."""

    def __init__(self, directory: Path | None = None) -> None:
        self.hits = 0
        self.misses = 0
        self._directory = directory or cache_folder()

    @property
    def directory(self) -> Path | None:
        """Where it keeps files, which may not be there yet."""
        return self._directory

    def load(
        self, engine: Engine, digest: str, read: Callable[[wasmtime.Engine, bytes], _Code], variant: Variant = PLAIN
    ) -> _Code | None:
        """The module or component of that digest, when its code was compiled for this engine, this machine and these
        settings. `read` is the engine's `deserialize` for the one or the other."""
        module = None
        path = self._path(engine, digest, variant)
        if path is not None:
            with contextlib.suppress(OSError, wasmtime.WasmtimeError):
                code = read_own(path)
                module = None if code is None else read(engine.native(variant), code)
                os.utime(path)  # what is used stays longest: see `registry/budget.py`
        if module is None:
            self.misses += 1
        else:
            self.hits += 1
        return module

    def holds(self, engine: Engine, digest: str, variant: Variant = PLAIN) -> bool:
        """Whether there is something for that digest; a look-up may still find it damaged."""
        path = self._path(engine, digest.removeprefix("sha256:"), variant)
        return path is not None and path.is_file()

    def store(
        self, engine: Engine, digest: str, module: wasmtime.Module | native.Component, variant: Variant = PLAIN
    ) -> None:
        """Keep the code. A folder that is full or cannot be written only means that nothing is kept."""
        path = self._path(engine, digest, variant)
        if path is not None:
            with contextlib.suppress(OSError):
                write_own(path, bytes(module.serialize()))

    def _path(self, engine: Engine, digest: str, variant: Variant) -> Path | None:
        folder = self._folder()
        if folder is None:
            return None
        # the engine refuses code that another version of it compiled: a miss, though its file has the same name
        key = "\n".join((digest, str(REVISION), engine.settings(variant), *_machine()))
        return folder / f"{digest[:DIGEST_CHARACTERS]}-{hashlib.sha256(key.encode()).hexdigest()[:48]}.code"

    def _folder(self) -> Path | None:
        """The folder, made when it is not there; None when others could write into it."""
        return None if self._directory is None else own_folder(self._directory / "code")


def compile_module(
    engine: Engine, code: bytes, cache: CodeCache | None = None, variant: Variant = PLAIN
) -> wasmtime.Module:
    """A module from its bytes, compiled or from the cache. Raises ValueError in the engine's words for what is none."""
    return _compile(engine, code, cache, wasmtime.Module, wasmtime.Module.deserialize, variant)


def compile_component(
    engine: Engine, code: bytes, cache: CodeCache | None = None, variant: Variant = PLAIN
) -> native.Component:
    """The same of a component. Long lists of it may cross in place (`component/direct.py`)."""
    from wasmtime.component import Component  # a graph of core modules needs none of it

    from flowrt.wasm.component.lists import in_place

    def make(wanted: wasmtime.Engine, code: bytes) -> native.Component:
        try:
            return Component(wanted, in_place(code))
        except wasmtime.WasmtimeError:
            return Component(wanted, code)  # with the words for what the file itself has wrong

    return _compile(engine, code, cache, make, Component.deserialize, variant)


def _compile(
    engine: Engine,
    code: bytes,
    cache: CodeCache | None,
    make: Callable[[wasmtime.Engine, bytes], _Code],
    read: Callable[[wasmtime.Engine, bytes], _Code],
    variant: Variant,
) -> _Code:
    digest = hashlib.sha256(code).hexdigest()
    if cache is not None and (known := cache.load(engine, digest, read, variant)) is not None:
        return known
    if not code.startswith(b"\0asm"):
        raise ValueError("it is not a WebAssembly binary")
    try:
        module = make(engine.native(variant), code)
    except wasmtime.WasmtimeError as error:
        raise ValueError(str(error)) from error
    if cache is not None:
        cache.store(engine, digest, module, variant)
    return module


def _machine() -> tuple[str, str]:
    """The processor's architecture, and what it can do, as Linux lists it."""
    features = ""
    with contextlib.suppress(OSError), Path("/proc/cpuinfo").open() as file:
        for line in file:
            name, _, value = line.partition(":")
            if name.strip() in {"flags", "Features"}:
                features = value.strip()
                break
    return os.uname().machine, features
