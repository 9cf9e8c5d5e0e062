"""`flowrt schema`: the JSON Schema of the graph file on standard output."""

from __future__ import annotations

import argparse
import json

from flowrt.graph.schema import json_schema


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_: argparse.Namespace) -> int:
    print(json.dumps(json_schema(), indent=2))
    return 0
