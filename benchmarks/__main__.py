"""`python -m benchmarks [pipeline|micro|nn|transforms|curves]…`: measure, print a table, keep the figures."""

from __future__ import annotations

import argparse
import sys

from benchmarks import report
from benchmarks.broker import Broker
from benchmarks.processes import BenchError
from benchmarks.settings import Settings

GROUPS = {
    "pipeline": "the pipeline against its floor and its peers (parts: throughput, qos1, quotas, latency, start)",
    "micro": "calls, hops and model runs in one process (parts: call, hop, inference, component, pieces)",
    "nn": "models through each door of wasi-nn (parts: doors, operation, batches, frame, cold)",
    "transforms": "rules without a module, beside Node-RED's nodes (parts: process, throughput)",
    "curves": "topics, graphs, chain lengths and payload sizes, drawn (parts: topics, graphs, chain, payload, workers)",
}


def arguments() -> argparse.Namespace:
    epilog = "\n".join(f"{name:10}{text}" for name, text in GROUPS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, epilog=epilog, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}; none: all")
    parser.add_argument("--rounds", type=int, default=5, help="how often the systems take turns (default 5)")
    parser.add_argument("--messages", type=int, default=60_000, help="messages in one load (default 60000)")
    parser.add_argument("--seconds", type=float, default=10, help="seconds of latency in one round (default 10)")
    parser.add_argument("--only", action="append", default=[], metavar="PART", help="only this part of a group")
    parser.add_argument("--write", action="store_true", help="write the figures into docs/performance.md")
    options = parser.parse_args()
    unknown = [group for group in options.groups if group not in GROUPS]
    if unknown:
        parser.error(f"no group '{unknown[0]}'; there are {', '.join(GROUPS)}")
    if not (1 <= options.rounds <= 100 and 100 <= options.messages <= 1_000_000 and 1 <= options.seconds <= 600):
        parser.error("1 to 100 rounds, 100 to 1,000,000 messages, 1 to 600 seconds")
    return options


def measure(group: str, broker: Broker, settings: Settings) -> list[report.Row]:
    if group == "pipeline":
        from benchmarks.rows import pipeline

        return pipeline.rows(broker, settings)
    if group == "micro":
        from benchmarks.rows import micro

        return micro.rows(broker, settings)
    if group == "nn":
        from benchmarks.rows import nn

        return nn.rows(broker, settings)
    if group == "transforms":
        from benchmarks.rows import transforms

        return transforms.rows(broker, settings)
    from benchmarks.rows import curves

    return curves.rows(broker, settings)


def main() -> int:
    options = arguments()
    settings = Settings(options.rounds, options.messages, options.only, seconds=options.seconds, write=options.write)
    rows: list[report.Row] = []
    try:
        with Broker() as broker:
            for group in options.groups or GROUPS:
                rows += measure(group, broker, settings)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        if rows:
            print(report.table(rows))
            print(f"\nall rounds: {report.save(rows)}")
    if options.write:
        for group in report.write_page(rows):
            print(f"docs/performance.md has no markers for '{group}'", file=sys.stderr)
    return int(any(row.failed for row in rows))


if __name__ == "__main__":
    sys.exit(main())
