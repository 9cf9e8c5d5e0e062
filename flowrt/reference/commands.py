"""`docs/cli.md`."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from flowrt.reference.markdown import code, table

_INTRODUCTION = """\
# The command line

Exit status: 0 all is well, 1 a file has problems, 2 wrong usage, 3 it could not start (a port in use, a folder that
cannot be written, a missing extra). Problems and log lines go to standard error, results to standard output.

"""


def commands(parser: argparse.ArgumentParser) -> str:
    sections = [_section(command, text) for command, text in _subcommands(parser)]
    return _INTRODUCTION + "\n".join(sections)


def _subcommands(parser: argparse.ArgumentParser) -> Iterator[tuple[argparse.ArgumentParser, str]]:
    """Parser and sentence of each, in the order of the help text."""
    for action in parser._actions:  # argparse offers no other way to ask
        if isinstance(action, argparse._SubParsersAction):
            texts = {choice.dest: choice.help or "" for choice in action._choices_actions}
            for name, command in action.choices.items():
                yield command, texts.get(name, "")


def _section(parser: argparse.ArgumentParser, text: str) -> str:
    lines = [f"## {parser.prog}\n", _sentence(text) + "\n"]
    nested = list(_subcommands(parser))
    arguments = [action for action in parser._actions if not _is_plumbing(action)]
    if arguments:
        rows = ((code(_usage(action)), _help(action)) for action in arguments)
        lines.append(table(("Argument", "What it does"), rows))
    lines.extend(_section(command, text).replace("## ", "### ", 1) for command, text in nested)
    return "\n".join(lines)


def _is_plumbing(action: argparse.Action) -> bool:
    return isinstance(action, argparse._HelpAction | argparse._SubParsersAction)


def _usage(action: argparse.Action) -> str:
    """`-o, --output FILE`, `FILE…`."""
    value = "" if action.nargs == 0 else _value(action)
    return f"{', '.join(action.option_strings)} {value}".strip()


def _value(action: argparse.Action) -> str:
    if isinstance(action.metavar, str):
        name = action.metavar
    elif action.choices is not None:
        name = "|".join(map(str, action.choices))
    else:
        name = action.dest.upper()
    optional = f"[{name}]" if action.nargs in ("?", "*") else name
    return optional + ("…" if action.nargs in ("+", "*", argparse.REMAINDER) else "")


def _help(action: argparse.Action) -> str:
    text = _sentence((action.help or "") % vars(action))
    if isinstance(action, argparse._AppendAction):
        text += " May be given several times."
    elif isinstance(action.default, str) and "default" not in text.lower():
        text += f" Default: {code(action.default)}."
    return text.strip()


def _sentence(text: str) -> str:
    """The first letter large, a full stop at the end."""
    text = text.strip()
    return text[:1].upper() + text[1:] + ("." if text and text[-1] not in ".:" else "")
