"""The compilers of guests, where they are found, and the command lines that make the same bytes in any folder.

C is compiled with zig's clang from PyPI. Rust is compiled with Debian's own rustc, by its full path: the one that a
developer has from rustup comes first on PATH and would give other bytes.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from subprocess import run

from flowrt.errors import StartError
from flowrt.guests import python
from flowrt.guests.recipe import Source

RUSTC = Path("/usr/bin/rustc")
RUST_LINKER = Path("/usr/bin/rust-lld")
RUST_TARGET = "wasm32-unknown-unknown"
_RUST_LIBRARY = Path("/usr/lib/rustlib") / RUST_TARGET
_RUST_PACKAGES = "apt-get install rustc libstd-rust-dev-wasm32 lld-14"
STACK_BYTES = 16384
"""A guest's stack. 16 KiB: the deepest path of the SDK, 64 levels of JSON, needs less than 4; the linkers' default of 1
to 16 MiB would be refused by small memory quotas. Both linkers put it below static data: overflowing it traps."""

_C = [
    "cc", "-target", "wasm32-freestanding", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-s", "-nostdlib",
    "-ffreestanding", "-fno-math-errno", "-ffp-contract=off", "-mbulk-memory", "-Wl,--no-entry",
    f"-Wl,-z,stack-size={STACK_BYTES}",
]  # fmt: skip
_RUST = [
    "--edition=2021", f"--target={RUST_TARGET}", "-Copt-level=s", "-Cpanic=abort", "-Clto=fat", "-Ccodegen-units=1",
    "-Cstrip=symbols", "-Dwarnings", f"-Clink-arg=-zstack-size={STACK_BYTES}",
]  # fmt: skip
_ENVIRONMENT = ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME")


def check_compiler(source: Source) -> None:
    """Raises `StartError` with the command to run when the module's compiler is missing, or not the one it names."""
    found = {"c": _ziglang, "rust": _rustc, "python": python.compiler}[source.recipe.language]()
    wanted = source.recipe.compiler
    if wanted and found != wanted:
        remedy = "Debian 12 has it" if source.recipe.language == "rust" else f"pip install {wanted.replace(' ', '==')}"
        raise StartError(f"module {source.name} is built with {wanted}, and here is {found}: {remedy}")


def commands(source: Source, sdk: Path, scratch: Path, out: Path) -> list[list[str]]:
    """What to run, in this order and in the module's folder, to make `out`. `scratch` is an empty folder."""
    if source.recipe.language == "python":
        return python.commands(source, sdk, scratch, out)
    if source.recipe.language == "c":
        simd = ["-msimd128"] if source.recipe.simd else []
        if source.recipe.component:
            simd.append("-Wl,--import-memory")  # the component's own module has the memory (flowrt/guests/component.py)
        return [[sys.executable, "-m", "ziglang", *_C, *simd, "-I", str(sdk / "c"), "-o", str(out), source.main]]
    crate = scratch / "libflowrt.rlib"
    simd = ["-Ctarget-feature=+simd128"] if source.recipe.simd else []
    # Paths of source files stand in the messages of panics: they must not depend on where the sources lie.
    flags = [*_RUST, *simd, f"--remap-path-prefix={sdk}=sdk", f"--remap-path-prefix={source.folder}=."]
    crate_name = source.name.replace("-", "_")
    library = ["--crate-type=rlib", "--crate-name=flowrt", "-o", str(crate), str(sdk / "rust/lib.rs")]
    module = ["--crate-type=cdylib", f"--crate-name={crate_name}", f"--extern=flowrt={crate}", "-o", str(out)]
    return [[str(RUSTC), *flags, *library], [str(RUSTC), *flags, *module, source.main]]


def environment(scratch: Path, base: Mapping[str, str]) -> dict[str, str]:
    """The environment of a compiler. Its caches go to `scratch`, whatever HOME is, and nothing else of what a shell may
    have set (CPATH, say) reaches it."""
    kept = {name: base[name] for name in _ENVIRONMENT if name in base}
    return {**kept, "ZIG_GLOBAL_CACHE_DIR": str(scratch / "zig"), "ZIG_LOCAL_CACHE_DIR": str(scratch / "zig")}


def _ziglang() -> str:
    try:
        if importlib.util.find_spec("ziglang") is not None:
            return f"ziglang {version('ziglang')}"
    except PackageNotFoundError:
        pass
    raise StartError("C modules are compiled with zig: pip install ziglang")


def _rustc() -> str:
    if not RUSTC.is_file() or not _RUST_LIBRARY.is_dir() or not RUST_LINKER.exists():
        raise StartError(f"Rust modules are compiled with Debian's rustc: {_RUST_PACKAGES}")
    told = run([RUSTC, "--version"], capture_output=True, text=True, check=True, timeout=60)  # noqa: S603 - a fixed path
    return f"rustc {told.stdout.split()[1]}"
