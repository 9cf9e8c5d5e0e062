"""`python -m benchmarks.faults`: break things under load, count, print the table."""

from __future__ import annotations

import argparse
import random
import sys
from time import monotonic

from benchmarks.faults import report
from benchmarks.faults.ledger import Result
from benchmarks.faults.rows import SCENARIOS
from benchmarks.faults.systems import node_red_there
from benchmarks.faults.world import SHORT, Scale, Scenario, play
from benchmarks.processes import BenchError


def arguments() -> argparse.Namespace:
    names = "\n".join(f"  {one.name:16}{one.title}" for one in SCENARIOS)
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.faults",
        description=__doc__,
        epilog=f"faults:\n{names}",
        formatter_class=argparse.RawTextHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=1, help="how often each row is played (default 1)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="only these faults")
    parser.add_argument("--seed", type=int, help="of the first round; printed, so that a failure can be played again")
    parser.add_argument("--peers", action="store_true", help="Node-RED as well, on the rows it can be put through")
    parser.add_argument("--short", action="store_true", help="the load of CI: 400 messages a row")
    parser.add_argument("--write", action="store_true", help="keep the figures in docs/reliability.md")
    options = parser.parse_args()
    unknown = set(options.only) - {one.name for one in SCENARIOS}
    if unknown:
        parser.error(f"no fault '{min(unknown)}'; there are {', '.join(one.name for one in SCENARIOS)}")
    if not 1 <= options.rounds <= 100:
        parser.error("1 to 100 rounds")
    return options


def rounds(scenario: Scenario, options: argparse.Namespace, seed: int) -> list[Result]:
    """Every system, every round, told as it comes."""
    scale = SHORT if options.short else Scale()
    if (reason := scenario.needs()) is not None:
        print(f"{scenario.name}: left out: {reason}", flush=True)
        return []
    results = []
    for number in range(options.rounds):
        for node_red in (False, True) if options.peers and scenario.peers and node_red_there() else (False,):
            started = monotonic()
            result = play(scenario, seed + number, scale, node_red=node_red)
            results.append(result)
            print(_line(result, monotonic() - started), flush=True)
    return results


def _line(result: Result, seconds: float) -> str:
    words = (
        "" if result.kept or result.system != "flowrt" else f"  BROKEN, seed {result.seed}: {'; '.join(result.notes)}"
    )
    counts = f"{result.sent} sent, {result.received} out, {result.dead} dead letters, {result.lost} lost"
    more = f"{result.duplicated} doubled, {result.reordered} out of order"
    return f"{result.fault}: {result.system}: {counts}, {more} ({seconds:.0f} s){words}"


def main() -> int:
    if len(sys.argv) > 1 and sys.argv[1] == "soak":
        from benchmarks.faults.soak import main as soak

        return soak(sys.argv[2:])
    if len(sys.argv) > 1 and sys.argv[1] == "simulate":
        from benchmarks.faults.simulation.__main__ import main as simulate

        return simulate(sys.argv[2:])
    if sys.argv[1:] == ["broker"]:
        from benchmarks.faults.promised import main as promised

        return promised()
    options = arguments()
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(10**6)
    print(f"seed {seed}", flush=True)
    results: list[Result] = []
    try:
        for scenario in SCENARIOS:
            if not options.only or scenario.name in options.only:
                results += rounds(scenario, options, seed)
                if options.write:  # row by row, so that a run that is ended keeps what it has
                    report.save(results, options.rounds, seed, SHORT if options.short else Scale())
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if results:
            print("\n" + report.table(report.summed(results)))
    return int(any(not result.kept for result in results if result.system == "flowrt"))


if __name__ == "__main__":
    sys.exit(main())
