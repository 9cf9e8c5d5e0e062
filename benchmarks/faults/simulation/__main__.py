"""`python -m benchmarks.faults simulate`: many seeds of the delivery core in virtual time."""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
from time import monotonic

from benchmarks.faults.simulation.mutations import MUTATIONS, mutated
from benchmarks.faults.simulation.run import Simulation, Wrong
from benchmarks.faults.simulation.window_mutations import WINDOW_MUTATIONS, window_mutated
from benchmarks.faults.simulation.windows_run import WindowSimulation

FAILURES_SHOWN = 5


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (default 10000)")
    parser.add_argument("--seed", type=int, help="the first one; else drawn, and printed")
    parser.add_argument("--windows", action="store_true", help="graphs with windows, checkpoints and modules' state")
    parser.add_argument(
        "--mutate",
        choices=[*MUTATIONS, *WINDOW_MUTATIONS],
        metavar="NAME",
        help=f"with a defect made on purpose: it has to be found; {', '.join(MUTATIONS)}; with windows "
        f"{', '.join(WINDOW_MUTATIONS)}",
    )
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    options = arguments(words)
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    found: list[str] = []
    crashes = cuts = 0
    started = monotonic()
    done = 0
    windows = options.windows or options.mutate in WINDOW_MUTATIONS
    graph = WINDOW_MUTATIONS[options.mutate].graph if options.mutate in WINDOW_MUTATIONS else None
    with _mutated(options.mutate):
        for seed in range(first, first + options.seeds):
            simulation = WindowSimulation(seed, graph) if windows else Simulation(seed)
            try:
                simulation.run()
            except Wrong as wrong:
                found.append(str(wrong))
                if len(found) <= FAILURES_SHOWN:
                    print(wrong, flush=True)
            crashes += simulation.crashes
            cuts += simulation.cuts
            done += 1
            if sys.stderr.isatty() and done % 100 == 0:
                print(f"\r{done} of {options.seeds}", end="", file=sys.stderr, flush=True)
    seconds = monotonic() - started
    rate = done / seconds * 60
    print(f"{done} seeds from {first}: {len(found)} wrong; {crashes} crashes, {cuts} links cut")
    print(f"{rate:,.0f} seeds a minute")
    if options.mutate:
        return int(not found)
    return int(bool(found))


def _mutated(name: str | None) -> contextlib.AbstractContextManager[object]:
    if name is None:
        return contextlib.nullcontext()
    return window_mutated(name) if name in WINDOW_MUTATIONS else mutated(name)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
