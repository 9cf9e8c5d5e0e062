"""`flowrt export --aio`: a graph as Azure IoT Operations' artifacts, in files.

Exit status 0, or 1 when the graph has problems or says what AIO has no place for.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from flowrt.cli import loading
from flowrt.errors import StartError
from flowrt.graph.load import read_graph
from flowrt.problem import has_errors, in_order


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="graph file")
    parser.add_argument("--aio", action="store_true", required=True, help="the only form there is")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", required=True, help="folder for the files")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", type=loading.pair, help="fill a ${KEY}"
    )


def run(options: argparse.Namespace) -> int:
    from flowrt.manifests.export import export
    from flowrt.manifests.writing import dump

    graph, problems = read_graph(options.file, sets=dict(options.set), environ=os.environ)
    made = None if graph is None or has_errors(problems) else export(graph)
    loading.report(in_order([*problems, *(made.problems if made else ())]))
    if made is None or has_errors(made.problems):
        return 1
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        for name, value in made.files.items():
            (options.output / name).write_bytes(dump(value).encode())
            print(f"wrote {options.output / name}", file=sys.stderr)
    except OSError as error:
        raise StartError(f"{options.output} cannot be written: {error.strerror}") from error
    return 0
