"""Graph files that were read before: a gateway that starts with one again parses and validates nothing.

Reading is a function of the file's bytes, `--set` and the environment. What comes of a file without mistakes, into
which nothing was filled, is kept in the cache folder under the digest of the file, of its path and of the code that
reads; values that were filled in may be confidential and are never written. Modules, models and everything else outside
the file are looked at on every start.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle  # read by `_Values` alone
import sys
from collections.abc import Iterator, Mapping
from enum import Enum
from functools import lru_cache
from pathlib import Path
from typing import Any

import flowrt
from flowrt.graph.graph import Graph, Reading
from flowrt.graph.load import Read, read_anew
from flowrt.options import Options, made
from flowrt.problem import has_errors
from flowrt.registry.cache_folder import cache_folder
from flowrt.registry.own_files import own_folder, read_own, write_own
from flowrt.values import Struct

KEPT_MAX = 32
"""Files that are kept: those used last."""
BYTES_MAX = 2**20
"""Of a graph file; a larger one is read anew each time."""
_READERS = ("options", "quota", "transforms", "formats", "operators", "endpoints", "graph")
"""The parts of flowrt that have a say in what comes of a file."""
_PLAIN = {("builtins", "frozenset"), ("builtins", "set"), ("pathlib", "PosixPath")}


class KnownGraphs:
    """`directory` None: the cache folder. Where no folder can be had, everything is read anew."""

    def __init__(self, directory: Path | None = None, read: Read = read_anew) -> None:
        self._directory = directory or cache_folder()
        self._read = read

    def read(self, data: bytes, path: str, sets: Mapping[str, str], environ: Mapping[str, str]) -> Reading:
        """As `graph.reading.read`."""
        folder = None if sets or self._directory is None else own_folder(self._directory / "graphs")
        if folder is None or len(data) > BYTES_MAX:
            return self._read(data, path, sets, environ)
        file = folder / f"{_key(data, path)}.graph"
        found = _loaded(file)
        if found is None or not _defaults_only(found, environ):
            found = self._read(data, path, sets, environ)
            if found.graph is not None and not has_errors(found.problems) and _defaults_only(found, environ):
                _keep(file, found)
        return found


def _defaults_only(reading: Reading, environ: Mapping[str, str]) -> bool:
    """Whether every variable of the file has the value that the file itself gives."""
    return reading.variables.isdisjoint(environ)


def _loaded(file: Path) -> Reading | None:
    """None for a file that is not there, not ours or not whole, or that says anything but values."""
    try:
        data = read_own(file)
        os.utime(file)
    except OSError:
        return None
    return None if data is None else loaded(data)


def dumped(reading: Reading) -> bytes:
    """For another process with the same `readers`."""
    return pickle.dumps(reading, protocol=5)


def loaded(data: bytes) -> Reading | None:
    """What `dumped` gave; None for anything else."""
    try:
        found = _Values(io.BytesIO(data)).load()
    except (pickle.UnpicklingError, AttributeError, ImportError, TypeError, ValueError, EOFError):
        return None
    return found if isinstance(found, Reading) else None


def _keep(file: Path, reading: Reading) -> None:
    """A folder that is full or cannot be written only means that nothing is kept."""
    with contextlib.suppress(OSError):
        write_own(file, dumped(reading))
        kept = sorted(file.parent.glob("*.graph"), key=lambda one: one.stat().st_mtime, reverse=True)
        for old in kept[KEPT_MAX:]:
            old.unlink()


class _Values(pickle.Unpickler):
    """Makes values of ours and nothing else: a file is no program."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _PLAIN:
            return super().find_class(module, name)
        found = super().find_class(module, name) if module.startswith("flowrt.") and "." not in name else None
        if found is made or (isinstance(found, type) and issubclass(found, Struct | Options | Enum | Graph)):
            return found
        raise pickle.UnpicklingError(f"{module}.{name} is no value of a graph")


def readers() -> str:
    """What tells the code that reads here from another state of it."""
    return hashlib.sha256("\0".join((flowrt.__version__, *_code())).encode()).hexdigest()


def _key(data: bytes, path: str) -> str:
    digest = hashlib.sha256(data)
    for part in (path, flowrt.__version__, sys.implementation.cache_tag, *_code()):
        digest.update(f"\0{part}".encode())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _code() -> tuple[str, ...]:
    """What tells one state of the code that reads from another: size and time of each of its files. Looked at once: a
    program that is replaced while it runs goes on with the code that it began with."""
    return tuple(_files(Path(flowrt.__file__).parent))


def _files(home: Path) -> Iterator[str]:
    for part in _READERS:
        for folder, _, files in os.walk(home / part):
            for name in sorted(files):
                if name.endswith(".py"):
                    found = os.stat(f"{folder}/{name}")  # noqa: PTH116  # a hundred of them at every start
                    yield f"{folder}/{name} {found.st_size} {found.st_mtime_ns}"
