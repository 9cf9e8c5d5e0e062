"""`flowrt dead`: dead letters, the newest first."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path

from flowrt.delivery.deadletters import DeadLetter, DeadLetters
from flowrt.errors import StartError
from flowrt.runtime.places import state_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("list", "show"), help="list: a line each; show: whole, as JSON lines")
    parser.add_argument("--state", type=Path, metavar="DIR", help="the runtime's state folder")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="at most so many (default 100)")


def run(options: argparse.Namespace) -> int:
    path = state_folder(options.state) / "dead-letters.sqlite"
    if not path.exists():
        raise StartError(f"there is no dead-letter store at {path}; nothing was dead-lettered, or --state is another")
    letters = DeadLetters(path)
    try:
        for letter in letters.list(options.limit):
            print(_line(letter) if options.action == "list" else _whole(letter))
    finally:
        letters.close()
    return 0


def _line(letter: DeadLetter) -> str:
    at = datetime.fromtimestamp(letter.at, UTC).isoformat(timespec="seconds")
    topic, size = letter.message.head.topic, len(letter.message.payload)
    return f"{letter.id} {at} {letter.graph}/{letter.node} {letter.kind} {topic!a} {size} bytes: {letter.detail!a}"


def _whole(letter: DeadLetter) -> str:
    head = letter.message.head
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
            "topic": head.topic,
            "contentType": head.content_type,
            "properties": head.properties,
            "payload": letter.message.payload.decode("utf-8", "backslashreplace"),
        }
    )
