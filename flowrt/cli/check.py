"""`flowrt check`: every problem of a file, with its position. Exit status 0 without errors, 1 with."""

from __future__ import annotations

import argparse

from flowrt.cli import loading


def add_arguments(parser: argparse.ArgumentParser) -> None:
    loading.add_arguments(parser)
    parser.add_argument("--portable", action="store_true", help="also name what Azure IoT Operations would refuse")


def run(options: argparse.Namespace) -> int:
    _, problems = loading.load_all(options)
    if options.portable:
        from flowrt.graph.checks.portable import check_file

        problems = [*problems, *(problem for path in options.files for problem in check_file(path))]
    return 1 if loading.report(problems) else 0
