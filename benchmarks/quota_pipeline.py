"""What default quotas cost the pipeline, without a broker's noise: `python -m benchmarks.quota_pipeline`.

All that flowrt does for 64 messages, from the bytes of PUBLISH packets to such bytes and through the kernel, on one
thread of a process with quotas and of one without any (`unbounded.py`), in turn. Of each process the quickest of many
passes counts: what else the machine did in the meantime only makes a pass slower.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from benchmarks import unbounded

SIZE = 64
PASSES, TIMES = 200, 10
AT_MOST = 1.03


def best() -> float:
    """Microseconds of processor time a message, in this process."""
    from benchmarks.parts import parts
    from benchmarks.rows.pieces import ORDER, jobs, loopback
    from flowrt.message import UNKNOWN

    with parts() as made, loopback() as (near, far):
        readings, pieces = jobs(made, SIZE, near, far)
        steps = [pieces[name] for name in ORDER if name.partition(":")[0] not in {"parse", "network", "score"}]
        quickest = float("inf")
        for _ in range(PASSES):
            began = time.thread_time()
            for _ in range(TIMES):
                readings.largest, readings.size = UNKNOWN, -1
                for step in steps:
                    step()
            quickest = min(quickest, time.thread_time() - began)
    return quickest / TIMES / SIZE * 1e6


def compare(rounds: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Of each round, what a message costs with default quotas and with none."""
    shown: dict[str, list[float]] = {"--bounded": [], "--unbounded": []}
    for _ in range(rounds):
        for how, found in shown.items():
            command = [sys.executable, "-m", "benchmarks.quota_pipeline", how]
            done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
            found.append(float(done.stdout))
    return tuple(shown["--bounded"]), tuple(shown["--unbounded"])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quota_pipeline", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bounded", action="store_true", help="one process with quotas, its figure alone")
    parser.add_argument("--unbounded", action="store_true", help="one without")
    options = parser.parse_args()
    if options.unbounded:
        unbounded.take_out()
    if options.bounded or options.unbounded:
        print(best())
        return 0
    bounded, none = compare(options.rounds)
    ratio = min(bounded) / min(none)
    print(f"with default quotas {min(bounded):.3f} µs a message, without {min(none):.3f}")
    print(f"the one against the other {ratio:.3f} x, at most {AT_MOST}")
    return int(ratio > AT_MOST)


if __name__ == "__main__":
    sys.exit(main())
