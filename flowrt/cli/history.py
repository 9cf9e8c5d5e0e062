"""`flowrt history`: every update of this machine, how it ended and why. Needs no running runtime.

Exit status 0.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from flowrt.cli.apply import add_state
from flowrt.logs.rendering import escaped
from flowrt.runtime.places import state_folder
from flowrt.updates.journal import Journal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("graph", nargs="?", metavar="GRAPH", help="only this one's")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    add_state(parser)


def run(options: argparse.Namespace) -> int:
    state, told = state_folder(options.state), 0
    for line in Journal(state).history():
        if options.graph not in (None, line.get("graph")):
            continue
        told += 1
        if options.json:
            print(json.dumps(line))
            continue
        words = f"{_at(line)}  {line.get('graph')} {line.get('version')}  {line.get('outcome')}  {line.get('reason')}"
        print(escaped(words.rstrip()))
    if not told:
        of = f" of graph '{options.graph}'" if options.graph else ""
        print(f"no update{of} is noted in {state}", file=sys.stderr)
    return 0


def _at(line: Mapping[str, Any]) -> str:
    try:
        return datetime.fromtimestamp(float(line["at"]), UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    except (KeyError, TypeError, ValueError, OverflowError, OSError):  # somebody has edited the file
        return "at some time"
