"""`flowrt dead`: dead letters, the newest first; through their nodes again, or away."""

from __future__ import annotations

import argparse
import json
import re
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from flowrt.cli.messages import fields_of
from flowrt.delivery.deadletters import DeadLetter, DeadLetters, Which
from flowrt.errors import StartError
from flowrt.runtime.places import state_folder

ACTIONS = {
    "list": "a line each",
    "show": "whole, as JSON lines",
    "retry": "send them through the node that failed again, in the runtime that runs or the next one",
    "drop": "delete them",
}
_RANGE = re.compile(r"(\d+)(?:-(\d+))?")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = "; ".join(f"{name}: {does}" for name, does in ACTIONS.items())
    parser.add_argument("action", choices=tuple(ACTIONS), help=actions)
    parser.add_argument("which", nargs="*", metavar="WHICH", help="numbers and ranges, as 12 15-20, or all")
    parser.add_argument("--graph", metavar="NAME", help="only those of this graph")
    parser.add_argument("--node", metavar="NAME", help="only those of this node")
    parser.add_argument("--fault", metavar="KIND", help="only those of this kind of fault, as trap")
    parser.add_argument("--state", type=Path, metavar="DIR", help="the runtime's state folder")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="list, show: at most so many (default 100)")


def run(options: argparse.Namespace) -> int:
    path = state_folder(options.state) / "dead-letters.sqlite"
    if not path.exists():
        raise StartError(f"there is no dead-letter store at {path}; nothing was dead-lettered, or --state is another")
    which = Which(_ranges(options.which), options.graph, options.node, options.fault)
    letters = DeadLetters(path)
    try:
        if options.action in ("list", "show"):
            found = list(letters.list(max(0, options.limit), which))
            for letter in found:
                print(_line(letter) if options.action == "list" else _whole(letter))
            return _meant(len(found)) if options.action == "show" else 0
        if not (options.which or options.graph or options.node or options.fault):
            raise StartError(f"{options.action} which letters? Give numbers, ranges, --graph, --node, --fault, or all")
        return _change(letters, options.action, which)
    except sqlite3.Error as error:
        raise StartError(f"the dead-letter store {path} cannot be used: {error}") from error
    finally:
        letters.close()


def _change(letters: DeadLetters, action: str, which: Which) -> int:
    if action == "drop":
        count = letters.remove(which)
        print(f"letters deleted: {count}")
    else:
        count = letters.mark(which)
        print(f"letters to be sent again: {count}; a running runtime takes them within seconds, else the next one does")
    return _meant(count)


def _meant(count: int) -> int:
    if not count:
        print("no letter is meant; `flowrt dead list` shows those that are there", file=sys.stderr)
    return 0 if count else 1


def _ranges(words: Iterable[str]) -> list[tuple[int, int]]:
    """Numbers as people write them: `12`, `#12`, `12,14`, `12-20`, `12 - 20`, `12..20`; `all` is no condition."""
    text = ",".join(words).replace("#", "").replace("..", "-").replace("–", "-")
    text = re.sub(r"[\s,]*-[\s,]*", "-", text)
    parts = [part for part in re.split(r"[\s,;]+", text) if part]
    if [part.lower() for part in parts] == ["all"]:
        return []
    return list(_pairs(parts))


def _pairs(parts: Iterable[str]) -> Iterator[tuple[int, int]]:
    for part in parts:
        match = _RANGE.fullmatch(part)
        if match is None or len(part) > 40:
            raise StartError(f"'{part}' is no number of a letter and no range, as 12 or 15-20; 'all' stands alone")
        first, last = int(match[1]), int(match[2] or match[1])
        if max(first, last) >= 2**63:
            raise StartError(f"there is no letter {part}")
        yield min(first, last), max(first, last)


def _line(letter: DeadLetter) -> str:
    at = datetime.fromtimestamp(letter.at, UTC).isoformat(timespec="seconds")
    topic, size = letter.message.head.topic, len(letter.message.payload)
    asked = " (to be sent again)" if letter.retry is not None else ""
    line = f"{letter.id} {at} {letter.graph}/{letter.node} {letter.kind} {topic!a} {size} bytes: {letter.detail!a}"
    return line + asked


def _whole(letter: DeadLetter) -> str:
    return json.dumps(
        {
            "id": letter.id,
            "at": letter.at,
            "graph": letter.graph,
            "node": letter.node,
            "fault": letter.kind,
            "detail": letter.detail,
            "backtrace": letter.backtrace,
            "module": letter.module,
            "quota": json.loads(letter.quota) if letter.quota else None,
            "retry": letter.retry,
            **fields_of(letter.message.head, letter.message.payload),
        }
    )
