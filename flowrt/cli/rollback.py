"""`flowrt rollback`: take back the update that is under way, or go back to the version that was proven before.

Exit status 0 when the earlier version runs again, 1 when there is none or it failed, 3 when no runtime listens.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from flowrt.cli.apply import add_state, show
from flowrt.logs.rendering import escaped
from flowrt.runtime.places import state_folder
from flowrt.updates.control import ask


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("graph", nargs="?", default="", metavar="GRAPH", help="its name; not needed for the only one")
    add_state(parser)


def run(options: argparse.Namespace) -> int:
    answers = ask(state_folder(options.state), {"do": "rollback", "graph": options.graph})
    return show(_turned_round(answers))


def _turned_round(answers: Iterator[dict[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """An update that is taken back ends as rolled back, which is what was wanted."""
    for answer in answers:
        if answer.get("outcome") in ("rolledBack", "refused") and str(answer.get("reason")).startswith("asked"):
            print(escaped(answer["reason"]), file=sys.stderr)
            yield {**answer, "outcome": "proven", "reason": ""}
        else:
            yield answer
