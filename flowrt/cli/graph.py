"""`flowrt graph`: a drawing of a graph on standard output or in a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from flowrt.cli import loading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    loading.add_arguments(parser)
    parser.add_argument("--format", choices=("svg", "mermaid"), help="default: by the ending of --output, else mermaid")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="write here instead of standard output")


def run(options: argparse.Namespace) -> int:
    from flowrt.graph.draw import to_mermaid, to_svg

    graphs, problems = loading.read_all(options)
    if loading.report(problems):
        return 1
    by_ending = "svg" if options.output and options.output.suffix == ".svg" else "mermaid"
    draw = to_svg if (options.format or by_ending) == "svg" else to_mermaid
    text = "\n".join(draw(graph) for graph in graphs)
    if options.output:
        options.output.write_text(text, encoding="utf-8")
    else:
        print(text)
    return 0
