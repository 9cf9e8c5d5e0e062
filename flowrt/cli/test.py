"""`flowrt test`: run `*.test.yaml`, without a broker, on virtual time. Exit status 0 when all pass, 1 when not."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from flowrt.cli import loading

JOBS_MAX = 64


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=_path, metavar="PATH", help="test file, or folder to look for them in")
    parser.add_argument("--modules", action="append", default=[], metavar="DIR", type=Path, help="folder of modules")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", type=loading.pair, help="fill a parameter or ${KEY}"
    )
    parser.add_argument("--match", metavar="TEXT", default="", help="only tests in whose name or path TEXT stands")
    parser.add_argument(
        "--jobs", type=_count, default=len(os.sched_getaffinity(0)), metavar="N", help="processes (default: the cores)"
    )
    parser.add_argument("--junit", type=Path, metavar="FILE", help="also write the results as JUnit's XML")


def run(options: argparse.Namespace) -> int:
    from flowrt.graphtest.reading import find
    from flowrt.graphtest.reporting import coverage, junit, lines, summary
    from flowrt.graphtest.running import Bench, listed, run_all

    found = [listed(path) for path in find(options.paths)]
    faulty = loading.report([problem for _, problems in found for problem in problems])
    asked = [test for tests, _ in found for test in tests if options.match in f"{test.path}: {test.name}"]
    if not asked and not faulty:
        print("flowrt test: there is no test: a test file's name ends in .test.yaml", file=sys.stderr)
        return 2
    bench = Bench(
        tuple(options.modules), dict(options.set), dict(os.environ), loading._inspect_module, loading._inspect_model
    )
    results = []
    for result in run_all(asked, bench, options.jobs):
        print(*lines(result), sep="\n", flush=True)
        results.append(result)
    print(*coverage(results), summary(results), sep="\n")
    if options.junit is not None:
        options.junit.write_text(junit(results), encoding="utf-8")
    return 0 if not faulty and all(result.passed for result in results) else 1


def _path(text: str) -> Path:
    path = Path(text)
    if not path.exists():
        raise argparse.ArgumentTypeError(f"there is no {text}")
    return path


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= JOBS_MAX:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 to {JOBS_MAX}")
    return int(text)
