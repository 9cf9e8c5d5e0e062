"""`module.toml`: how one module is built.

A folder with this file holds one module, whose name is the folder's. Format: TOML 1.0.

    language = "c"                  # or "rust", "python"
    compiler = "ziglang 0.17.0"     # optional: the one compiler that gives the committed bytes
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from flowrt.errors import StartError
from flowrt.options import Field, Options
from flowrt.values import Struct

FILE = "module.toml"
_SUFFIX = {"c": ".c", "rust": ".rs"}
PYTHON_MAIN = "app.py"


class Recipe(Options):
    """What `module.toml` says."""

    language: Literal["c", "rust", "python"]
    """`c` is compiled with zig (`ziglang` on PyPI), `rust` with Debian's rustc, `python` with componentize-py."""
    source: str | None = Field(None, min_length=1, max_length=256)
    """The file to compile, relative to the folder. Unset: the module's name with `.c` or `.rs`; in Python `app.py`."""
    compiler: str | None = Field(None, pattern=r"^(ziglang|rustc|componentize-py) [0-9.]+$")
    """The compiler this module must be built with, since bytes depend on it. Unset: any."""
    simd: bool = False
    """Use 128-bit vector instructions."""
    component: bool = False
    """Make an operator component of it (C only, Python always is one): `sdk/c/aio.h`."""
    operators: tuple[Literal["map", "filter", "branch", "accumulate", "delay"], ...] = ("map",)
    """Python only: the operators it has."""


class Source(Struct, frozen=True):
    """A module to build."""

    name: str
    folder: Path
    recipe: Recipe

    @property
    def main(self) -> str:
        if self.recipe.language == "python":
            return self.recipe.source or PYTHON_MAIN
        return self.recipe.source or self.name + _SUFFIX[self.recipe.language]


def find_sources(folder: Path) -> list[Source]:
    """The modules of a folder, by name: the folder itself, or those right below it, that have a `module.toml`.

    Raises `StartError` when there is none, or one cannot be read.
    """
    folder = folder.resolve()
    files = [folder / FILE] if (folder / FILE).is_file() else sorted(folder.glob(f"*/{FILE}"))
    if not files:
        raise StartError(f"{folder} has no module: a module is a folder with a {FILE}")
    return [Source(file.parent.name, file.parent, _read(file)) for file in files]


def _read(file: Path) -> Recipe:
    try:
        return Recipe.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise StartError(f"{file}: {error}") from error
    except ValidationError as error:
        first = error.errors()[0]
        raise StartError(f"{file}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
