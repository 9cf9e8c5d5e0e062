"""`flowrt exec`: a WebAssembly command with wasi-nn, as Wasmtime and WasmEdge run them. The exit status is the guest's;
134 when it trapped or met a limit, 3 when it could not start."""

from __future__ import annotations

import argparse
import math
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flowrt.errors import GuestTrap, StartError
from flowrt.graph.facts import ModuleFacts
from flowrt.problem import nearest
from flowrt.quota.quantity import parse_bytes, parse_seconds

if TYPE_CHECKING:
    from flowrt.graph.plan import ModelUse
    from flowrt.nn.preload import Option, Preload
    from flowrt.wasm.command import Command
    from flowrt.wasm.engine import Engine

T = TypeVar("T")
TRAPPED = 134
"""128 and the number of SIGABRT, as Wasmtime ends then."""
MEMORY = "1Gi"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("module", type=Path, metavar="MODULE.wasm", help="command: a core module or a component")
    parser.add_argument(
        "--dir", action="append", default=[], type=_folder, metavar="HOST::GUEST",
        help="let it see a folder of the host, under another name where one is given",
    )  # fmt: skip
    parser.add_argument(
        "--env", action="append", default=[], type=_variable, metavar="KEY=VALUE",
        help="set a variable of its environment; KEY alone passes on ours",
    )  # fmt: skip
    parser.add_argument(
        "--nn", action="append", default=[], type=_preload, metavar="NAME=ENCODING[@TARGET]:PATH[,PATH]",
        help="a model it may load by name, as detector=onnx:model.onnx or default=ggml@gpu:model.gguf",
    )  # fmt: skip
    parser.add_argument(
        "--nn-option", action="append", default=[], type=_option, metavar="NAME:KEY=VALUE",
        help="tell the engine of a model, as default:ctx-size=2048 or m:signature=add",
    )  # fmt: skip
    parser.add_argument(
        "--memory", default=MEMORY, type=_told(parse_bytes), metavar="SIZE",
        help="its linear memory may have so much, and so may what is held for it outside: tensors and models it brings "
        f"(default {MEMORY})",
    )  # fmt: skip
    parser.add_argument(
        "--deadline", default=math.inf, type=_told(parse_seconds), metavar="TIME",
        help="end it after so long, as 30s (default: never)",
    )  # fmt: skip
    parser.add_argument(
        "--stack", default=2**20, type=_told(parse_bytes), metavar="SIZE",
        help="stack a call may use, 64Ki to 2Mi (default 1Mi)",
    )  # fmt: skip
    parser.add_argument("--fuel", type=int, metavar="COUNT", help="end it after so many instructions (default: never)")
    parser.add_argument("--threads", type=int, default=1, metavar="COUNT", help="threads of one model run (default 1)")
    parser.add_argument("--no-cache", action="store_true", help="compile anew, and keep no compiled code")
    parser.epilog = "What stands behind -- are the guest's own arguments."
    _take_rest(parser)


def run(options: argparse.Namespace) -> int:
    if not (options.memory > 0 and options.deadline > 0 and options.threads > 0 and (options.fuel or 1) > 0):
        raise StartError("--memory, --deadline, --fuel and --threads must be above 0")
    if not 2**16 <= options.stack <= 2 * 2**20:
        raise StartError("--stack must be 64Ki to 2Mi")
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # while a guest runs nothing of ours would look at it
    from flowrt.wasm.engine import Engine

    engine = Engine()
    try:
        return _run(options, _command(options, engine))
    except GuestTrap as trap:
        print(f"flowrt exec: {options.module}: {trap}", file=sys.stderr)
        if trap.backtrace:
            print("\n".join(f"  in {line}" for line in trap.backtrace.splitlines()), file=sys.stderr)
        return TRAPPED
    finally:
        engine.close()


def _command(options: argparse.Namespace, engine: Engine) -> Command:
    from flowrt.wasm.cache import CodeCache
    from flowrt.wasm.command import Command
    from flowrt.wasm.engine import Variant
    from flowrt.wasm.inspect import inspect_bytes

    try:
        code = options.module.read_bytes()
    except OSError as error:
        raise StartError(f"{options.module} cannot be read: {error.strerror}") from error
    facts = inspect_bytes(code, str(options.module))
    if not isinstance(facts, ModuleFacts):
        raise StartError(f"{options.module}: {facts.reason}")
    cache = None if options.no_cache else CodeCache()
    return Command(engine, facts, code, variant=Variant(options.fuel is not None, options.stack), cache=cache)


def _run(options: argparse.Namespace, command: Command) -> int:
    from flowrt.wasm.command import Setting
    from flowrt.wasm.crossing import Limits

    setting = Setting([options.module.name, *options.arguments], options.env, options.dir)
    limits = Limits(options.memory, options.deadline, options.fuel, stack=options.stack)
    if not command.uses_nn:
        return command.run(setting, limits)
    from flowrt.nn.doors.node import NodeDoor
    from flowrt.nn.doors.wit import OFFERED
    from flowrt.nn.registry import Models

    models = Models(options.threads)
    door = NodeDoor(
        models,
        _uses(options.nn, options.nn_option),
        memory=options.memory,
        report=_say,
        aloud=_speak,
        deadline=options.deadline,
    )
    try:
        if command.facts.form == "component":
            offer = door.component({name for name, _, _ in command.facts.imports})
            return command.run(setting, limits, offer=offer, known=OFFERED)
        return command.run(setting, limits, door.core())
    finally:
        door.close()
        models.close()


def _uses(preloads: Sequence[Preload], options: Sequence[tuple[str, str, Option]]) -> list[ModelUse]:
    from flowrt.nn.inspect import inspect_model
    from flowrt.nn.preload import use_of

    names = [preload.name for preload in preloads]
    for name, key, _ in options:
        if name not in names:
            raise StartError(f"--nn-option {name}:{key}: there is no --nn {name}{nearest(name, names)}")
    uses = []
    for preload in preloads:
        use, warning = use_of(
            preload, inspect_model, {key: value for name, key, value in options if name == preload.name}
        )
        uses.append(use)
        if warning:
            _say(warning)
    return uses


def _say(text: str) -> None:
    print(f"flowrt exec: {text}", file=sys.stderr)


def _speak(piece: bytes) -> None:
    """A text while it is made, between what the guest itself writes."""
    os.write(sys.stdout.fileno(), piece)


def _folder(text: str) -> tuple[str, str]:
    host, colons, guest = text.partition("::")
    if not host or (colons and not guest):
        raise argparse.ArgumentTypeError(f"'{text}' is not HOST::GUEST")
    return host, guest or host


def _variable(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not key:
        raise argparse.ArgumentTypeError(f"'{text}' is not KEY=VALUE")
    if not equals and key not in os.environ:
        raise argparse.ArgumentTypeError(f"{key} is not set here; write {key}=VALUE")
    return key, value if equals else os.environ[key]


def _told(parse: Callable[[str], T]) -> Callable[[str], T]:
    """The words of a ValueError for the user."""

    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return parsed


def _preload(text: str) -> Preload:
    from flowrt.nn.preload import parse

    return _told(parse)(text)


def _option(text: str) -> tuple[str, str, Option]:
    from flowrt.nn.preload import parse_option

    return _told(parse_option)(text)


def _take_rest(parser: argparse.ArgumentParser) -> None:
    """Everything behind `--` is the guest's, as it stands: argparse has no way to say so beside options."""
    plain = parser.parse_known_args

    def parse(arguments: Sequence[str], namespace: Any = None) -> tuple[Any, list[str]]:
        at = arguments.index("--") if "--" in arguments else len(arguments)
        found, unknown = plain(list(arguments[:at]), namespace)
        found.arguments = list(arguments[at + 1 :])
        return found, unknown

    parser.parse_known_args = parse  # type: ignore[method-assign, assignment]
