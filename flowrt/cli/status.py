"""`flowrt status`: what a running runtime runs, to the digest, and how far an update has come.

Exit status 0, or 3 when no runtime listens.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from typing import Any

from flowrt.cli.apply import add_state
from flowrt.logs.rendering import escaped
from flowrt.runtime.places import state_folder
from flowrt.updates.control import ask

_SHORT = 19
"""Characters of a digest that people tell apart."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="everything, as JSON: a lock file of what runs")
    add_state(parser)


def run(options: argparse.Namespace) -> int:
    graphs = next(ask(state_folder(options.state), {"do": "status"}))["graphs"]
    if options.json:
        print(json.dumps(graphs, indent=2))
        return 0
    for graph in graphs:
        print("\n".join(map(escaped, _lines(graph))))
    return 0


def _lines(graph: Mapping[str, Any]) -> Iterator[str]:
    words = ["ready" if graph["ready"] else "not ready", "proven" if graph["proven"] else "not proven yet"]
    yield f"{graph['graph']} {graph['version']}: {', '.join(words)}"
    runs = graph["runs"]
    yield f"  graph  {runs['text'][:_SHORT]}  {runs['path']}"
    for kind in ("modules", "models"):
        for name, digest in runs[kind].items():
            yield f"  {kind[:-1]} {digest[:_SHORT]}  {name}"
    if graph["previous"]:
        yield f"  before: version {graph['previous']['version']}, {graph['previous']['text'][:_SHORT]}"
    if graph["update"]:
        yield f"  last update: {graph['update']} {graph['reason']}".rstrip()
    if graph["bad"]:
        yield f"  changes that failed and are not tried again: {graph['bad']}"
