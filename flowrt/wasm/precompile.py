"""A process of its own that compiles modules into the cache: `python -m flowrt.wasm.precompile REQUEST`.

It loads what compiling needs and nothing more, and compiles on one thread: on a gateway of two cores the other one
stays with the messages.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from flowrt.values import Struct
from flowrt.wasm.cache import CodeCache, compile_component, compile_module
from flowrt.wasm.engine import Engine, Variant


class Wanted(Struct, frozen=True):
    """One file to compile, and how."""

    path: str
    form: str
    fuel: bool
    stack: int


def command(wanted: Sequence[Wanted], *, interpreter: bool) -> list[str]:
    """What to start. It ends with status 0, or with 1 and a line on standard error."""
    request = [interpreter, [[one.path, one.form, one.fuel, one.stack] for one in wanted]]
    return [sys.executable, "-m", "flowrt.wasm.precompile", json.dumps(request)]


def main(text: str) -> int:
    """The child's exit status."""
    interpreter, wanted = json.loads(text)
    engine, cache = Engine(interpreter=interpreter, threads=False), CodeCache()
    for path, form, fuel, stack in wanted:
        compile_it = compile_component if form == "component" else compile_module
        try:
            compile_it(engine, Path(path).read_bytes(), cache, Variant(fuel, stack))
        except (ValueError, OSError) as error:
            sys.stderr.write(f"module {path} does not compile: {' '.join(str(error).split())}\n")
            return 1
    engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
