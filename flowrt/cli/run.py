"""`flowrt run`: graphs at work until SIGTERM or SIGINT, or until every source has ended.

Exit status 0 after a clean stop, 1 when a file has problems, 3 when it could not start.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from flowrt.cli import loading
from flowrt.web.address import Address, parse_address

DRAIN_SECONDS = 10.0
"""How long a stop may take to finish what is under way: half of what the unit file grants."""


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
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"), default="info")
    parser.add_argument("--log-format", choices=("auto", "text", "json"), default="auto")


def run(options: argparse.Namespace) -> int:
    plans, problems = loading.load_all(options, to_run=True)
    if loading.report(problems):
        return 1
    from flowrt.cli.serve import serve

    return serve(plans, options)


def _address(text: str) -> Address:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
