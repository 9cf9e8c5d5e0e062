"""What default quotas cost the pipeline, without a broker's noise: `python -m benchmarks.quota_pipeline`.

All that flowrt does for 64 messages, from the bytes of PUBLISH packets to such bytes and through the kernel, on one
thread of a process with quotas and of one without any (`unbounded.py`), both at a time, in turns of some milliseconds
on one core: what the machine is slow at, it is slow at for both. Of each process the quickest of many passes counts,
because what else the machine did only makes a pass slower. A round is a pair of processes; the median of the rounds'
ratios counts. "Without" has neither our accounting nor the checks that the engine compiles into guests; both are told
how many bytes came, which a source counts for its metrics.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from statistics import median
from subprocess import PIPE, Popen

from benchmarks import unbounded

SIZE = 64
PASSES, TIMES = 300, 10
AT_MOST = 1.03


def serve() -> None:
    """For each line that comes, print the seconds of processor time that a pass took, in this process."""
    from benchmarks.parts import parts
    from benchmarks.rows.pieces import ORDER, jobs, loopback
    from flowrt.message import UNKNOWN

    with parts() as made, loopback() as (near, far):
        readings, pieces = jobs(made, SIZE, near, far)
        size = readings.counted()  # a source counts what comes, for its metric of bytes, with quotas and without
        steps = [pieces[name] for name in ORDER if name.partition(":")[0] not in {"parse", "network", "score"}]
        for _ in sys.stdin:
            began = time.thread_time()
            for _ in range(TIMES):
                readings.largest, readings.size = UNKNOWN, size
                for step in steps:
                    step()
            print(time.thread_time() - began, flush=True)


def round_of(passes: int, core: int) -> dict[str, float]:
    """What a message costs with default quotas and with none: microseconds of processor time, of the quickest pass."""
    command = [sys.executable, "-m", "benchmarks.quota_pipeline"]
    os.sched_setaffinity(0, {core})
    servers = {
        how: Popen([*command, f"--{how}"], stdin=PIPE, stdout=PIPE, text=True) for how in ("bounded", "unbounded")
    }
    best = dict.fromkeys(servers, float("inf"))
    try:
        for number in range(passes):
            for how in sorted(servers, reverse=bool(number % 2)):
                to, back = servers[how].stdin, servers[how].stdout
                if to is None or back is None:
                    raise OSError("a process without pipes")
                to.write("\n")
                to.flush()
                best[how] = min(best[how], float(back.readline()))
    finally:
        for server in servers.values():
            server.communicate()
    return {how: took / TIMES / SIZE * 1e6 for how, took in best.items()}


def compare(rounds: int) -> bool:
    """Print each round; whether the median of the ratios is low enough."""
    ratios = []
    cores = sorted(os.sched_getaffinity(0))
    for number in range(rounds):
        took = round_of(PASSES, cores[number % len(cores)])
        ratios.append(took["bounded"] / took["unbounded"])
        print(f"with default quotas {took['bounded']:.3f} µs a message, without {took['unbounded']:.3f}", flush=True)
    shown = ", ".join(f"{ratio:.3f}" for ratio in sorted(ratios))
    print(f"the one against the other {median(ratios):.3f} x ({shown}), at most {AT_MOST}")
    return median(ratios) <= AT_MOST


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quota_pipeline", description=__doc__)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--bounded", action="store_true", help="one process with quotas, which works when told to")
    parser.add_argument("--unbounded", action="store_true", help="one without")
    options = parser.parse_args()
    if options.unbounded:
        unbounded.take_out()
    if options.bounded or options.unbounded:
        serve()
        return 0
    return int(not compare(options.rounds))


if __name__ == "__main__":
    sys.exit(main())
