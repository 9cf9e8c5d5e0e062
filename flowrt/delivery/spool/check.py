"""Looks at spools on disk from outside: what is there, whether it is sound, and putting right what is not."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

from flowrt.delivery.spool.frames import Damaged, Header, read_body
from flowrt.delivery.spool.position import NAME, Position, read_position
from flowrt.delivery.spool.segment import START_BYTES, Segment, open_existing, segment_paths
from flowrt.message import Head
from flowrt.values import Struct, field


class Place(Struct, frozen=True):
    """One sink's spool."""

    graph: str
    sink: str
    folder: Path


class Found(Struct):
    """What is in a spool."""

    messages: int = 0
    """Not out."""
    bytes: int = 0
    """What their frames take."""
    files: int = 0
    oldest: int | None = None
    """When the oldest of them was written, milliseconds since the epoch."""
    damage: list[str] = field(default_factory=list)
    """What is not as it was written, a line each."""
    lost: int = 0
    """Messages in it, as far as their numbers tell."""


def places(spools: Path) -> list[Place]:
    """Every spool in the folder of all spools, sorted by graph and sink. Raises OSError."""
    folders = sorted(path.parent for path in spools.glob(f"*/*/{NAME}"))
    return [Place(unquote(folder.parent.name), unquote(folder.name), folder) for folder in folders]


def look(folder: Path, *, whole: bool) -> Found:
    """What a spool holds; `whole` reads every message to verify it. A spool in use may be looked at. Raises OSError."""
    found, position = Found(), read_position(folder)
    for path in segment_paths(folder):
        found.files += 1
        try:
            segment = open_existing(path, write=False)
        except Damaged as error:
            found.damage.append(f"{path.name}: {error}")
            continue
        try:
            _look_at(segment, position, found, whole=whole)
        finally:
            segment.close()
    return found


def messages(folder: Path) -> Iterator[tuple[int, int, Head, bytes]]:
    """Number, time, head and payload of every message that is not out and can be read. Raises OSError."""
    position = read_position(folder)
    for path in segment_paths(folder):
        try:
            segment = open_existing(path, write=False)
        except Damaged:
            continue
        try:
            for at, header in segment.frames():
                yield from _messages_of(segment, at, header, position)
        finally:
            segment.close()


def repair(folder: Path) -> list[str]:
    """Write the sound frames of each damaged file anew, and put the damaged file aside under the name `….damaged`; what
    was done, a line each. Nobody may use the spool meanwhile. Raises OSError."""
    done = []
    for path in segment_paths(folder):
        try:
            segment = open_existing(path)
        except Damaged as error:
            path.rename(path.with_suffix(".damaged"))
            done.append(f"{path.name}: {error}; put aside")
            continue
        try:
            sound = [(at, header) for at, header in segment.frames() if segment.readable(at, header)]
            kept = START_BYTES + sum(header.bytes for _, header in sound)
            if kept == segment.size:
                continue
            fresh = path.with_suffix(".new")
            with fresh.open("wb") as file:
                file.write(segment.read(0, START_BYTES))
                for at, header in sound:
                    file.write(segment.read(at, header.bytes))
                file.flush()
                os.fsync(file.fileno())
            path.rename(path.with_suffix(".damaged"))
            fresh.rename(path)
            done.append(f"{path.name}: {segment.size - kept} damaged bytes left out, {len(sound)} sound writes kept")
        finally:
            segment.close()
    return done


def give_up(folder: Path) -> None:
    """Delete all messages. Nobody may use the spool meanwhile. Raises OSError."""
    position = Position(folder)
    try:
        ends = [_end(path) for path in segment_paths(folder)]
        position.write(max([position.value, *ends]))
        position.sync()
    finally:
        position.close()
    for path in segment_paths(folder):
        path.unlink()


def _end(path: Path) -> int:
    """The number behind a file's last message; what cannot be told is its name's. Raises OSError."""
    try:
        segment = open_existing(path, write=False)
    except Damaged:
        return int(path.stem)
    try:
        return max([segment.first, *(header.end for _, header in segment.frames())])
    finally:
        segment.close()


def _look_at(segment: Segment, position: int, found: Found, *, whole: bool) -> None:
    expected, end = segment.first, START_BYTES
    for at, header in segment.frames():
        if at > end:
            found.damage.append(f"{segment.path.name}: {at - end} bytes at {end} are damaged")
            found.lost += max(0, header.first - max(expected, position))
        end, expected = at + header.bytes, header.end
        if header.end <= position:
            continue
        count = header.end - max(header.first, position)
        if whole and not segment.readable(at, header):
            found.damage.append(f"{segment.path.name}: {header.bytes} bytes at {at} are damaged, messages: {count}")
            found.lost += count
            continue
        found.messages += count
        found.bytes += header.bytes
        found.oldest = header.at if found.oldest is None else found.oldest
    if end < segment.size:
        found.damage.append(f"{segment.path.name}: {segment.size - end} bytes at its end are no whole write")


def _messages_of(segment: Segment, at: int, header: Header, position: int) -> Iterator[tuple[int, int, Head, bytes]]:
    if header.end <= position:
        return
    try:
        heads, payloads = read_body(header, segment.body(at, header))
    except Damaged:
        return
    for number, head, payload in zip(range(header.first, header.end), heads, payloads, strict=True):
        if number >= position:
            yield number, header.at, head, payload
