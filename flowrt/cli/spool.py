"""`flowrt spool`: what waits on disk for sinks. All but `drain` and `repair` may be used while a runtime runs."""

from __future__ import annotations

import argparse
import errno
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from flowrt.cli.messages import fields_of
from flowrt.delivery.spool.check import Found, Place, give_up, look, messages, places, repair
from flowrt.delivery.spool.log import SpoolLog
from flowrt.endpoints.registry import SPOOLS, spool_folder
from flowrt.endpoints.spool_writer import FRAME_BYTES, FRAME_MESSAGES
from flowrt.errors import StartError
from flowrt.message import Head
from flowrt.problem import nearest
from flowrt.quota.quantity import format_bytes
from flowrt.runtime.places import state_folder

Kept = tuple[int, int, Head, bytes]
"""Number, time, head and payload of a message."""
ACTIONS = {
    "list": "a line each: messages, bytes, age",
    "show": "the messages, as JSON lines",
    "drain": "take the messages out: into the file --to, to another sink with --into, or with --yes throw them away",
    "verify": "read everything, name what is damaged",
    "repair": "leave out what is damaged, keep the damaged file aside",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = "; ".join(f"{name}: {does}" for name, does in ACTIONS.items())
    parser.add_argument("action", choices=tuple(ACTIONS), help=actions)
    parser.add_argument("sinks", nargs="*", metavar="GRAPH/SINK", help="only these; GRAPH alone means all of its sinks")
    parser.add_argument("--state", type=Path, metavar="DIR", help="the runtime's state folder")
    parser.add_argument("--limit", type=int, default=100, metavar="N", help="show: at most so many (default 100)")
    parser.add_argument("--to", type=Path, metavar="FILE", help="drain: write the messages to this file, as show does")
    parser.add_argument(
        "--into", metavar="GRAPH/SINK", help="drain: let this sink send them, behind what waits for it already"
    )
    parser.add_argument("--yes", action="store_true", help="drain: without --to and --into, throw the messages away")


def run(options: argparse.Namespace) -> int:
    folder = state_folder(options.state) / SPOOLS
    try:
        found = list(_chosen(places(folder), options.sinks))
        if not found:
            print(f"nothing is spooled in {folder}", file=sys.stderr)
        return max([_ACTIONS[options.action](place, options) for place in found], default=0)
    except OSError as error:
        raise StartError(f"cannot read or write {error.filename or folder}: {error.strerror or error}") from error


def _chosen(all_places: list[Place], names: list[str]) -> Iterator[Place]:
    """The spools that were named, in their order; all of them where none was."""
    if not names:
        yield from all_places
        return
    known = {f"{place.graph}/{place.sink}": place for place in all_places}
    for name in names:
        wanted = name.strip().strip("/")
        matching = [place for path, place in known.items() if path == wanted or place.graph == wanted]
        if not matching:
            there = ", ".join(known) or "none"
            hint = nearest(wanted, [*known, *(place.graph for place in all_places)])
            raise StartError(f"there is no spool '{name}'{hint or f'; there are: {there}'}")
        yield from matching


def _list(place: Place, _: argparse.Namespace) -> int:
    found = look(place.folder, whole=False)
    print(_line(place, found))
    return 0


def _line(place: Place, found: Found) -> str:
    age = "" if found.oldest is None else f", the oldest {_ago(found.oldest)}"
    damage = f", damaged in {len(found.damage)} places" if found.damage else ""
    held = f"{found.messages} messages, {format_bytes(found.bytes)} in {found.files} files"
    return f"{place.graph}/{place.sink}: {held}{age}{damage}"


def _show(place: Place, options: argparse.Namespace) -> int:
    for text in islice(_texts(place), max(0, options.limit)):
        print(text)
    return 0


def _texts(place: Place) -> Iterator[str]:
    for number, at, head, payload in messages(place.folder):
        yield json.dumps(
            {
                "graph": place.graph,
                "sink": place.sink,
                "number": number,
                "at": datetime.fromtimestamp(at / 1000, UTC).isoformat(timespec="milliseconds"),
                **fields_of(head, payload),
            }
        )


def _drain(place: Place, options: argparse.Namespace) -> int:
    if options.to is None and options.into is None and not options.yes:
        raise StartError(
            "drain takes messages out of the spool: give --to FILE for them, --into GRAPH/SINK for a sink that is to "
            "send them, or --yes to throw them away"
        )
    with _alone(place):
        if options.into is not None or options.to is not None:
            _put_right(place)
        if options.into is not None:
            _pass_on(place, options)
        if options.to is not None:
            with options.to.open("a", encoding="utf-8") as file:
                file.writelines(f"{text}\n" for text in _texts(place))
                file.flush()
                os.fsync(file.fileno())
        count = look(place.folder, whole=False).messages
        give_up(place.folder)
    ends = [f"written to {options.to}"] if options.to else []
    ends += [f"left to {options.into}, which sends them when it runs"] if options.into else []
    print(f"{place.graph}/{place.sink}: {count} messages {' and '.join(ends) or 'thrown away'}")
    return 0


def _pass_on(place: Place, options: argparse.Namespace) -> None:
    """Durably behind what waits for another sink. Killed before the end, they are there twice, and none is lost."""
    graph, _, sink = options.into.strip().strip("/").partition("/")
    if not sink:
        raise StartError(f"--into names a sink as GRAPH/SINK, not '{options.into}'")
    if (graph, sink) == (place.graph, place.sink):
        raise StartError(f"{graph}/{sink} is the spool itself")
    folder = spool_folder(state_folder(options.state), graph, sink)
    if not folder.is_dir():
        print(f"{graph}/{sink} had no spool yet: see that the graph has a sink of that name", file=sys.stderr)
    try:
        other = SpoolLog(folder)
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise StartError(f"a runtime uses the spool of {graph}/{sink}; stop it first") from None
    try:
        for frame in _together(messages(place.folder)):
            other.append([head for *_, head, _ in frame], [payload for *_, payload in frame])
    finally:
        other.close()


def _together(kept: Iterable[Kept]) -> Iterator[list[Kept]]:
    """What is written at once: each durable write costs flash."""
    frame: list[Kept] = []
    size = 0
    for one in kept:
        if frame and (len(frame) == FRAME_MESSAGES or size + len(one[3]) > FRAME_BYTES):
            yield frame
            frame, size = [], 0
        frame.append(one)
        size += len(one[3])
    if frame:
        yield frame


def _verify(place: Place, _: argparse.Namespace) -> int:
    found = look(place.folder, whole=True)
    print(_line(place, found))
    for line in found.damage:
        print(f"  {line}")
    if found.damage:
        print(f"  messages that cannot be read: {found.lost}; `flowrt spool repair` puts the damaged files aside")
    return int(bool(found.damage))


def _repair(place: Place, _: argparse.Namespace) -> int:
    with _alone(place):
        if not _put_right(place):
            print(f"{place.graph}/{place.sink}: nothing to repair")
    return 0


def _put_right(place: Place) -> bool:
    """What is damaged is put aside and told; whether anything was. Nobody may use the spool meanwhile."""
    done = repair(place.folder)
    for line in done:
        print(f"{place.graph}/{place.sink}: {line}")
    return bool(done)


@contextmanager
def _alone(place: Place) -> Iterator[None]:
    """Raises `StartError` while a runtime uses the spool."""
    fd = os.open(place.folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError:
        raise StartError(f"a runtime uses the spool of {place.graph}/{place.sink}; stop it first") from None
    finally:
        os.close(fd)


def _ago(milliseconds: int) -> str:
    seconds = time.time() - milliseconds / 1000
    for unit, size in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} old"
    return f"{max(seconds, 0):.0f} s old"


_ACTIONS = {"list": _list, "show": _show, "drain": _drain, "verify": _verify, "repair": _repair}
