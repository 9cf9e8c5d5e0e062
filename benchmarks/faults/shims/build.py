"""Compiles the shims, with the machine's C compiler or with the one that the development environment brings."""

from __future__ import annotations

import hashlib
import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.processes import BenchError

HERE = Path(__file__).parent
BUILD = HERE.parents[2] / "build/bench/shims"


def compiler() -> list[str] | None:
    """Its command, or None where there is none."""
    found = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is not None:
        return [found]
    return [sys.executable, "-m", "ziglang", "cc"] if importlib.util.find_spec("ziglang") else None


def needs_compiler() -> str | None:
    return None if compiler() else "there is no C compiler: apt install gcc"


def built(name: str) -> Path:
    """The shared library of `name`.c, compiled when its text has changed. Raises `BenchError`."""
    source = HERE / f"{name}.c"
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:12]
    library = BUILD / f"{name}-{digest}.so"
    if not library.exists():
        command = compiler()
        if command is None:
            raise BenchError("there is no C compiler: apt install gcc")
        BUILD.mkdir(parents=True, exist_ok=True)
        fresh = library.with_suffix(".new")
        options = ["-O1", "-Wall", "-shared", "-fPIC", "-o", str(fresh), str(source), "-ldl", "-lpthread"]
        done = subprocess.run([*command, *options], check=False, capture_output=True, text=True)
        if done.returncode:
            raise BenchError(f"{source.name} does not compile: {done.stderr}")
        fresh.replace(library)
    return library
