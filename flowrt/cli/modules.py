"""`flowrt modules`: rebuild guests from source, or show what a module says of itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from flowrt.graph.facts import ModuleFacts, Unreadable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="rebuild every guest below a folder from its source")
    build.add_argument("folder", nargs="?", type=Path, default=Path("modules"), metavar="DIR", help="default: modules")
    show = actions.add_parser("show", help="what modules export and import")
    show.add_argument("files", nargs="+", type=Path, metavar="MODULE.wasm", help="module")


def run(options: argparse.Namespace) -> int:
    if options.action == "show":
        return max([_show(path) for path in options.files])
    from flowrt.guests.build import build

    failed = 0
    for built in build(options.folder):
        failed += built.error is not None
        print(built, file=sys.stderr if built.error else sys.stdout, flush=True)
    return 1 if failed else 0


def _show(path: Path) -> int:
    from flowrt.wasm.inspect import inspect_module

    facts = inspect_module(path)
    if isinstance(facts, Unreadable):
        print(f"{path}: {facts.reason}", file=sys.stderr)
        return 1
    print("\n".join(_lines(facts)))
    return 0


def _lines(facts: ModuleFacts) -> list[str]:
    return [
        f"{facts.path}: {facts.form} module, {facts.memory_bytes} bytes of memory to begin with",
        f"  {facts.digest}",
        *(f"  export {name} {signature}" for name, signature in facts.exports.items()),
        *(f"  import {module} {name} {signature}" for module, name, signature in facts.imports),
        *(f"  map takes {tensor}" for tensor in facts.inputs),
        *(f"  map makes {tensor}" for tensor in facts.outputs),
    ]
