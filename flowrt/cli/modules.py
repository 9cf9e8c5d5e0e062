"""`flowrt modules`: rebuild guests from source, or show what a module says of itself."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from flowrt.cli import loading
from flowrt.graph.facts import ModuleFacts, Unreadable

if TYPE_CHECKING:
    from flowrt.wasm.embedded import Given


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    build = actions.add_parser("build", help="rebuild every guest below a folder from its source")
    build.add_argument("folder", nargs="?", type=Path, default=Path("modules"), metavar="DIR", help="default: modules")
    embed = actions.add_parser("embed", help="put models and parameters into a module, as AIO's operators carry theirs")
    embed.add_argument("file", type=Path, metavar="MODULE.wasm", help="module")
    embed.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="the module with them")
    embed.add_argument(
        "--model", action="append", default=[], type=loading.pair, metavar="NAME=FILE", help="loaded by that name"
    )
    embed.add_argument(
        "--parameter",
        action="append",
        default=[],
        type=loading.pair,
        metavar="KEY=VALUE",
        help="what init is given where the graph gives nothing; @FILE is the text of a file",
    )
    show = actions.add_parser("show", help="what modules export and import")
    show.add_argument("files", nargs="+", type=Path, metavar="MODULE.wasm", help="module")


def run(options: argparse.Namespace) -> int:
    if options.action == "show":
        return max([_show(path) for path in options.files])
    if options.action == "embed":
        return _embed(options)
    from flowrt.guests.build import build

    failed = 0
    for built in build(options.folder):
        failed += built.error is not None
        print(built, file=sys.stderr if built.error else sys.stdout, flush=True)
    return 1 if failed else 0


def _embed(options: argparse.Namespace) -> int:
    from flowrt.wasm.embedded import embed
    from flowrt.wasm.inspect import inspect_bytes, inspect_module

    try:
        code = options.file.read_bytes()
        found = inspect_bytes(code, str(options.file))
        models = [_model(name, Path(path)) for name, path in options.model]
        texts = {key: Path(text[1:]).read_text("utf-8") if text[:1] == "@" else text for key, text in options.parameter}
        if isinstance(found, ModuleFacts):
            options.output.write_bytes(embed(code, models, texts))
            found = inspect_module(options.output)
    except (OSError, ValueError) as error:
        print(f"flowrt modules embed: {error}", file=sys.stderr)
        return 1
    if isinstance(found, Unreadable):
        print(f"flowrt modules embed: {options.file}: {found.reason}", file=sys.stderr)
        return 1
    print(f"{options.output}: {options.output.stat().st_size} bytes, {found.digest}")
    return 0


def _model(name: str, path: Path) -> Given:
    """Raises ValueError when it is no model, and OSError."""
    from flowrt.nn.inspect import inspect_model
    from flowrt.wasm.embedded import Given

    facts = inspect_model(path)
    if isinstance(facts, Unreadable):
        raise ValueError(f"{path}: {facts.reason}")  # noqa: TRY004 - what the file is, not what it was passed as
    return Given(name, facts.encoding, path.read_bytes())


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
        *(f"  carries model {model.name} ({model.encoding})" for model in facts.models),
        *(f"  carries parameter {key} ({len(value)} characters)" for key, value in facts.properties),
    ]
