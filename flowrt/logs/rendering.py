"""How a line looks: JSON for machines, one readable line for people.

Text from guests, topics and peers can neither break a line nor reach a terminal as a control sequence: everything that
is not printable is escaped.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from flowrt.logs.sentences import Line

Render = Callable[[Line, float], str]
"""Takes a line and the time in seconds since the epoch; gives text that ends a line."""

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3}
"""syslog's numbers; a journal takes them from the start of a line, sd-daemon(3)."""
_COLOURS = {"debug": "2", "info": "32", "warning": "33", "error": "31;1"}


def as_json(line: Line, at: float) -> str:
    """One JSON object a line, in ASCII, whatever the text holds."""
    entry: dict[str, object] = {"time": _instant(at), "level": line.level, "event": line.event, "message": _text(line)}
    if line.where:
        entry["where"] = line.where
    if line.more:
        entry["more"] = line.more
    entry.update({name: value for name, value in line.fields.items() if value != "" and name not in entry})
    return json.dumps(entry, default=str) + "\n"


def for_journal(line: Line, at: float) -> str:
    """JSON with the priority in front that makes `journalctl -p warning` work."""
    return f"<{_PRIORITIES[line.level]}>{as_json(line, at)}"


def as_text(line: Line, at: float) -> str:
    """Time, level, whom it concerns, what happened."""
    return _plain(line, at, line.level.upper().ljust(7))


def in_colour(line: Line, at: float) -> str:
    return _plain(line, at, f"\x1b[{_COLOURS[line.level]}m{line.level.upper():7}\x1b[0m")


def escaped(text: str) -> str:
    r"""Text with all that is not printable as `\n`, `\x1b`, `\u202e`; a backslash stays as it is."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _plain(line: Line, at: float, level: str) -> str:
    where = f"{escaped(line.where)}: " if line.where else ""
    backtrace = str(line.fields.get("backtrace", ""))
    below = "".join(f"\n    {escaped(part)}" for part in backtrace.splitlines())
    return f"{_instant(at)[11:23]} {level} {where}{escaped(_text(line))}{below}\n"


def _text(line: Line) -> str:
    return f"{line.text} ({line.more} more like this)" if line.more else line.text


def _instant(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds")
