"""`flowrt docs`: write the generated pages, or with `--check` say which are no longer current."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs"), metavar="DIR", help="default: docs")
    parser.add_argument("--check", action="store_true", help="write nothing; exit status 1 when a page is not current")


def run(options: argparse.Namespace) -> int:
    from flowrt.cli.main import parser
    from flowrt.reference import stale, write_docs

    if not options.check:
        write_docs(options.folder, parser())
        return 0
    names = stale(options.folder, parser())
    for name in names:
        print(f"{options.folder / name} is not current: run 'make docs'", file=sys.stderr)
    return 1 if names else 0
