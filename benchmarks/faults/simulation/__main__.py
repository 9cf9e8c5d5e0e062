"""`python -m benchmarks.faults simulate`: many seeds of the delivery core in virtual time."""

from __future__ import annotations

import argparse
import contextlib
import random
import sys
from time import monotonic

from benchmarks.faults.simulation.mutations import MUTATIONS, mutated
from benchmarks.faults.simulation.run import Simulation, Wrong

FAILURES_SHOWN = 5


def arguments(words: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many (default 10000)")
    parser.add_argument("--seed", type=int, help="the first one; else drawn, and printed")
    parser.add_argument("--mutate", choices=MUTATIONS, help="with a defect made on purpose: it has to be found")
    return parser.parse_args(words)


def main(words: list[str]) -> int:
    options = arguments(words)
    first = options.seed if options.seed is not None else random.SystemRandom().randrange(10**9)
    found: list[str] = []
    crashes = cuts = 0
    started = monotonic()
    done = 0
    with mutated(options.mutate) if options.mutate else contextlib.nullcontext():
        for seed in range(first, first + options.seeds):
            simulation = Simulation(seed)
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


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
