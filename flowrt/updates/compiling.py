"""Modules compiled in a process of their own, into the cache that the runtime then reads, in time that nobody else
wants."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress

from flowrt.errors import StartError
from flowrt.graph.plan import NodePlan
from flowrt.operators.guest_config import GuestOperation
from flowrt.runtime.surroundings import Surroundings

SECONDS_MAX = 600.0
"""A module that takes longer to compile is no module for a gateway."""
IDLE_SECONDS_MAX = 120.0
"""How long it may take in time that nobody else wants. A machine without any gives it a little of everybody's then."""
NICE = 19

Yield = Callable[[int], None]
"""Lets a process, by its id, stand back. Raises OSError when it may not, or has ended."""


def compile_beside(nodes: Iterable[NodePlan], around: Surroundings) -> None:
    """Fill the cache with what these nodes need and it does not hold. Raises `StartError` for what does not compile."""
    from flowrt.wasm.engine import variant_of
    from flowrt.wasm.precompile import Wanted, command

    wanted = []
    for node in nodes:
        if isinstance(node.operation, GuestOperation) and node.module is not None:
            variant = variant_of(node.operation.resources)
            if not around.cache.holds(around.engine, node.module.digest, variant):
                wanted.append(Wanted(node.module.path, node.module.form, variant.fuel, variant.stack))
    if wanted:
        compile_apart(command(wanted, interpreter=around.interpreter))


def compile_apart(child: Sequence[str], idle: float = IDLE_SECONDS_MAX, most: float = SECONDS_MAX) -> None:
    """Run a process that compiles. Traffic runs before it: at first it gets what is left over; when that is not enough
    within `idle` seconds, it begins again with the smallest share there is. Raises `StartError`."""
    done = _run(child, _only_idle_time, idle) or _run(child, _least_share, most)
    if done is None:
        raise StartError(f"compiling takes longer than {most:g} s")
    status, words = done
    if status:
        raise StartError(words.strip().rpartition("\n")[2] or f"compiling ended with status {status}")


def _run(child: Sequence[str], stand_back: Yield, seconds: float) -> tuple[int, str] | None:
    """Exit status and standard error; None when it had to be ended."""
    with subprocess.Popen(child, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:  # noqa: S603
        with suppress(OSError):
            stand_back(process.pid)
        try:
            _, words = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return None
        except BaseException:
            process.kill()
            raise
    return process.returncode, words


def _only_idle_time(pid: int) -> None:
    """A core that runs nothing else counts as free: who wakes up there does not wait. Its disk comes last, too."""
    os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0))


def _least_share(pid: int) -> None:
    os.setpriority(os.PRIO_PROCESS, pid, NICE)
