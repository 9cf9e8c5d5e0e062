"""`flowrt run`: graphs at work until SIGTERM or SIGINT, or until every source has ended.

Exit status 0 after a clean stop, 1 when a file has problems, 3 when it could not start.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from flowrt.cli import loading
from flowrt.cli.apply import add_disk
from flowrt.problem import Severity
from flowrt.web.address import Address, parse_address

DRAIN_SECONDS = 10.0
"""How long a stop may take to finish what is under way: half of what the unit file grants."""


WORKERS_MAX = 64
"""More than a gateway has cores; each costs the memory of a process."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    loading.add_arguments(parser)
    parser.add_argument(
        "--metrics",
        metavar="HOST:PORT",
        type=_address,
        help="serve /metrics, /healthz and /readyz here; port 0 picks a free one",
    )
    parser.add_argument("--state", type=Path, metavar="DIR", help="folder for what must survive a restart")
    parser.add_argument(
        "--seed-state",
        type=Path,
        metavar="FILE",
        help="set keys of this JSON file that the state store lacks",
    )
    parser.add_argument(
        "--embedded-broker",
        nargs="?",
        const="127.0.0.1:0",
        metavar="HOST:PORT",
        help="start a broker in the place of every MQTT endpoint (needs the extra 'demo')",
    )
    parser.add_argument(
        "--interpreter",
        action="store_true",
        default=os.environ.get("FLOWRT_INTERPRETER") == "1",
        help="run guests in the engine's interpreter, where executable memory is forbidden",
    )
    parser.add_argument(
        "--drain", type=float, default=DRAIN_SECONDS, metavar="SECONDS", help="longest drain at a stop (default 10)"
    )
    add_disk(parser)
    parser.add_argument(
        "--workers", type=_count, default=1, metavar="N", help="processes that divide the topics (default 1)"
    )
    parser.add_argument(
        "--watch", action="store_true", help="update graphs whose files, modules or models change, as SIGHUP does"
    )
    parser.add_argument("--as-worker", type=_place, help=argparse.SUPPRESS)
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument("--log-format", choices=("auto", "text", "json"), default="auto")


def run(options: argparse.Namespace) -> int:
    plans, problems = loading.load_all(options, to_run=True)
    told = options.as_worker is not None  # of warnings, by the supervising process
    if loading.report([problem for problem in problems if not told or problem.severity is Severity.ERROR]):
        return 1
    if options.as_worker is not None:
        from flowrt.cli.worker import work

        return work(plans, options)
    if options.seed_state is not None:
        from flowrt.cli.state import seed

        seed(options.seed_state, options.state)
    if options.workers > 1:
        from flowrt.cli.supervise import supervise

        return supervise(plans, options)
    from flowrt.cli.serve import serve

    return serve(plans, options)


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _count(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= WORKERS_MAX:
        raise argparse.ArgumentTypeError(f"'{text}' is not a number from 1 to {WORKERS_MAX}")
    return int(text)


def _place(text: str) -> tuple[int, int, int]:
    """A worker's number and its descriptors, as the supervising process gives them."""
    number, messages, words = map(int, text.split(","))
    return number, messages, words
