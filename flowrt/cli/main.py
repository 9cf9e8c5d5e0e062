"""The command line: one file a command, named in one table.

A command module offers `add_arguments(parser)` and `run(options) -> int`. Modules are imported when their command
is used, so that `flowrt check` loads no engine and `flowrt run` no drawing.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Sequence
from importlib import import_module

from flowrt import __version__
from flowrt.cli.lean import put_off
from flowrt.errors import FlowrtError, MissingExtra, StartError

COMMANDS = {
    "check": "parse, validate, resolve modules and models, print every problem with its position",
    "run": "run graphs until SIGTERM or SIGINT",
    "test": "run test files against graphs, without a broker, on virtual time",
    "apply": "change a running graph into what a file says; it goes back by itself when the new version is worse",
    "status": "what a running runtime runs, to the digest, and how far an update has come",
    "history": "every update, how it ended and why",
    "rollback": "take an update back, or return to the version that was proven before",
    "command": "sign a command for a graph that takes commands by MQTT, and print it",
    "pull": "bring modules, models and graphs into the local store: from files, HTTP or an OCI registry",
    "push": "put an artifact of the store into an OCI registry, with its signatures",
    "store": "list, verify, sign, remove, export and import what the local store holds",
    "graph": "draw a graph as SVG or Mermaid",
    "export": "write a graph as the artifacts of Azure IoT Operations",
    "schema": "print the JSON Schema of the graph file, for editors",
    "expr": "evaluate one expression of a transform",
    "exec": "run a WebAssembly command with wasi-nn",
    "modules": "rebuild guests from source, show what a module exports and imports",
    "spool": "what waits on disk for sinks: list, show, take out, verify, repair",
    "dead": "dead letters: list, show, send through their node again, delete",
    "state": "list, get, set, delete, export and import what operators keep in the state store",
    "model": "show, measure, compare, quantise and convert model files",
    "profile": "run a graph on a recording and suggest quotas as a patch to its file, or draw a guest's own functions",
    "demo": "watch the example run: embedded broker, simulated pump, injected fault",
    "top": "watch a running runtime: rate, latency, processor and memory against quotas, queue, faults",
    "doctor": "what this machine offers, what is missing and how to get it",
    "docs": "write the generated pages of the documentation, or check that they are current",
}
"""Command to the sentence that helps; `flowrt.cli.<command>` implements it."""


def parser(names: Sequence[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The whole command line, or only the commands in `names` with their arguments (the others stay listed)."""
    # Said here, `prog` is not made of a help text, which would ask for the terminal's width.
    top = argparse.ArgumentParser(prog="flowrt", description="Data flow graphs on the gateway.")
    top.add_argument("--version", action="version", version=f"flowrt {__version__}")
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True, prog="flowrt")
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=f"flowrt {name}: {text}.")
        if name in names:
            import_module(f"flowrt.cli.{name}").add_arguments(command)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: the command's; 2 for wrong usage, 3 when it could not start."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    wanted = [argument for argument in arguments if argument in COMMANDS][:1]
    gc.disable()  # a twentieth of a start, to find nothing; commands that last turn it on
    put_off()
    options = parser(wanted).parse_args(arguments)
    try:
        status: int = import_module(f"flowrt.cli.{options.command}").run(options)
    except (StartError, MissingExtra) as error:
        print(f"flowrt: {error}", file=sys.stderr)
        return 3
    except FlowrtError as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:
        sys.stderr.close()
        return 1
    finally:
        gc.enable()
    return status


if __name__ == "__main__":
    sys.exit(main())
