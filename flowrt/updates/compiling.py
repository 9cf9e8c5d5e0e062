"""Modules compiled in a process of their own at the lowest priority, into the cache that the runtime then reads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from flowrt.errors import StartError
from flowrt.graph.plan import NodePlan
from flowrt.operators.guest_config import GuestOperation
from flowrt.runtime.surroundings import Surroundings

SECONDS_MAX = 600.0
"""A module that takes longer to compile is no module for a gateway."""
NICE = 19


def compile_beside(nodes: Iterable[NodePlan], around: Surroundings) -> None:
    """Fill the cache with what these nodes need and it does not hold. Raises `StartError` for what does not compile."""
    from flowrt.wasm.engine import variant_of

    wanted = []
    for node in nodes:
        if isinstance(node.operation, GuestOperation) and node.module is not None:
            variant = variant_of(node.operation.resources)
            if not around.cache.holds(around.engine, node.module.digest, variant):
                wanted.append((node.module.path, node.module.form, variant.fuel, variant.stack))
    if not wanted:
        return
    command = [sys.executable, "-m", "flowrt.updates.compiling", json.dumps([around.interpreter, wanted])]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS_MAX, check=False, text=True)  # noqa: S603
    except subprocess.TimeoutExpired:
        raise StartError(f"compiling takes longer than {SECONDS_MAX:g} s") from None
    if done.returncode:
        raise StartError(done.stderr.strip().rpartition("\n")[2] or f"compiling ended with status {done.returncode}")


def main(text: str) -> int:
    """The child: exit status 0, or 1 with a line on standard error."""
    os.nice(NICE)
    from flowrt.wasm.cache import CodeCache, compile_component, compile_module
    from flowrt.wasm.engine import Engine, Variant

    interpreter, wanted = json.loads(text)
    engine, cache = Engine(interpreter=interpreter), CodeCache()
    for path, form, fuel, stack in wanted:
        compile_it = compile_component if form == "component" else compile_module
        try:
            compile_it(engine, Path(path).read_bytes(), cache, Variant(fuel, stack))
        except (ValueError, OSError) as error:
            sys.stderr.write(f"module {path} does not compile: {error}\n")
            return 1
    engine.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
