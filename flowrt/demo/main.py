"""`flowrt demo [show|simulate|train|compare]`: the example to look at, and the tools around it.

`add_arguments` and `run` are what a command of the command line offers.
"""

from __future__ import annotations

import argparse
from importlib import import_module

DEMOS = {
    "show": "watch the example run: embedded broker, simulated pump, injected fault (the default)",
    "simulate": "publish the simulated pump's readings to a broker of yours",
    "train": "make the example's model, from the simulator or from a recording",
    "compare": "run real recordings through the example and a real broker, and compare with an offline computation",
}
"""Each is a module of this package with `arguments(parser)` and `run(options) -> int`."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`flowrt demo` alone takes the arguments of `show`."""
    import_module("flowrt.demo.show").arguments(parser)
    demos = parser.add_subparsers(dest="demo", metavar="WHAT")
    for name, text in DEMOS.items():
        command = demos.add_parser(name, help=text, description=f"flowrt demo {name}: {text}.")
        import_module(f"flowrt.demo.{name}").arguments(command)


def run(options: argparse.Namespace) -> int:
    """The demo's exit status. Raises StartError for what keeps it from starting, ValueErrors as such."""
    from flowrt.errors import StartError

    try:
        status: int = import_module(f"flowrt.demo.{options.demo or 'show'}").run(options)
    except KeyboardInterrupt:
        return 130  # what shells give for Ctrl-C
    except (ValueError, OSError) as error:
        raise StartError(str(error)) from error
    return status
