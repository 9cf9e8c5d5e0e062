"""Builds the modules of a folder and puts each beside its source, or into another folder."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flowrt.errors import StartError
from flowrt.guests.component import componentize
from flowrt.guests.recipe import Source, find_sources
from flowrt.guests.toolchain import check_compiler, commands, environment
from flowrt.values import Struct

_COMPILE_SECONDS = 300
"""A compiler that runs longer hangs: the slowest of ours needs two seconds on two busy cores."""


class Built(Struct, frozen=True):
    """What became of one module. `str()` is the line to print."""

    name: str
    path: Path
    size: int = 0
    changed: bool = False
    """Whether the bytes differ from those that stood there before."""
    error: str | None = None
    """The compiler's words when it failed; then the file is as it was."""

    def __str__(self) -> str:
        if self.error is not None:
            return f"{self.name}: failed\n{self.error.rstrip()}"
        return f"{self.name}: {self.size} bytes, {'new' if self.changed else 'unchanged'}"


def build(folder: Path, out: Path | None = None) -> Iterator[Built]:
    """Builds every module of `folder`, one after the other, each yielded when it is done.

    A module goes to `NAME.wasm` in its own folder, or to `out/NAME/NAME.wasm`, and replaces what is there in one step.
    Raises `StartError`, before anything is built, when there is no module, no SDK or no compiler.
    """
    sources = find_sources(folder)
    for source in sources:
        check_compiler(source)
    sdk = find_sdk(folder)
    for source in sources:
        yield _build_one(source, sdk, (out / source.name if out else source.folder) / f"{source.name}.wasm")


def find_sdk(folder: Path) -> Path:
    """The SDK of a modules folder: the nearest `sdk` at or above it, or the one of the sources that flowrt runs from.

    Raises `StartError` when there is none.
    """
    folder = folder.resolve()
    checkout = Path(__file__).parents[2]
    candidates = [parent / "sdk" for parent in (folder, *folder.parents)]
    for sdk in [*candidates, checkout / "modules" / "sdk"]:
        if (sdk / "c" / "flowrt.h").is_file() and (sdk / "rust" / "lib.rs").is_file():
            return sdk
    raise StartError(f"no SDK at or above {folder}: copy modules/sdk of flowrt's sources there")


def _build_one(source: Source, sdk: Path, target: Path) -> Built:
    target.parent.mkdir(parents=True, exist_ok=True)
    # The new file is made beside the old one, so that it can take its place in one step.
    with tempfile.TemporaryDirectory(prefix=".build-", dir=target.parent) as scratch:
        made = Path(scratch) / target.name
        for command in commands(source, sdk, Path(scratch), made):
            error = _run(command, source.folder, Path(scratch))
            if error is not None:
                return Built(source.name, target, error=error)
        if source.recipe.component and source.recipe.language == "c":
            try:
                made.write_bytes(componentize(made.read_bytes()))
            except StartError as error:
                return Built(source.name, target, error=str(error))
        made.chmod(0o644)
        content = made.read_bytes()
        changed = not target.is_file() or target.read_bytes() != content
        if changed:
            made.replace(target)
    return Built(source.name, target, len(content), changed)


def _run(command: list[str], folder: Path, scratch: Path) -> str | None:
    """The compiler's words when it fails."""
    try:
        done = subprocess.run(  # noqa: S603 - a compiler of ours, without a shell
            command,
            cwd=folder,
            env=environment(scratch, os.environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_COMPILE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"the compiler did not end within {_COMPILE_SECONDS} s"
    return done.stdout.decode("utf-8", "replace") if done.returncode else None
