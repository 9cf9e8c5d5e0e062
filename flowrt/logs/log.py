"""Where log lines go."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable, Mapping
from time import monotonic, time
from typing import Any, Literal, TextIO

from flowrt.logs.rendering import Render, as_json, as_text, for_journal, in_colour
from flowrt.logs.repetition import Repetitions
from flowrt.logs.sentences import Line, line_of

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
"""What `--log-level` takes."""

Format = Literal["auto", "text", "json"]
"""`auto`: JSON where systemd's journal reads, text elsewhere, in colour on a terminal."""


class Logs:
    """Writes events to a stream, standard error unless another is given. Any thread may call any method."""

    def __init__(
        self,
        stream: TextIO | None = None,
        *,
        level: str = "info",
        form: Format = "auto",
        environ: Mapping[str, str] = os.environ,
        now: Callable[[], float] = time,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._stream = stream or sys.stderr
        self._least = LEVELS[level]
        self._render = _renderer(self._stream, form, environ)
        self._now = now
        self._repetitions = Repetitions(clock)
        self._lock = threading.Lock()

    def emit(self, event: Any) -> None:
        """Write an event, or count it when enough alike were written."""
        line = line_of(event)
        if LEVELS[line.level] >= self._least:
            with self._lock:
                self._write(self._repetitions.admit(event, line))

    def tick(self) -> None:
        """Write what was only counted and is due; call it now and then, so that the end of a flood is not left open."""
        with self._lock:
            self._write(self._repetitions.due())

    def close(self) -> None:
        """Write all that was only counted. Safe to call twice."""
        with self._lock:
            self._write(self._repetitions.rest())

    def take_over(self) -> None:
        """Write what libraries say through `logging`, and our own tracebacks, in the same form."""
        root = logging.getLogger()
        root.handlers[:] = [_Bridge(self)]
        root.setLevel(max(self._least, logging.WARNING))

    def record(self, record: logging.LogRecord) -> None:
        """Write one record of the standard library's."""
        level = next((name for name in reversed(LEVELS) if record.levelno >= LEVELS[name]), "debug")
        trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
        with self._lock:
            self._write([Line(level, "logged", record.name, record.getMessage(), {"backtrace": trace})])

    def _write(self, lines: list[Line]) -> None:
        text = "".join([self._render(line, self._now()) for line in lines])
        if text:
            try:
                self._stream.write(text)
                self._stream.flush()
            except (OSError, ValueError):
                return  # nobody reads any more: no reason to stop a graph


class _Bridge(logging.Handler):
    def __init__(self, logs: Logs) -> None:
        super().__init__()
        self._logs = logs

    def emit(self, record: logging.LogRecord) -> None:
        self._logs.record(record)


def _renderer(stream: TextIO, form: Format, environ: Mapping[str, str]) -> Render:
    journal = _is_journal(stream, environ)
    if form == "json" or (form == "auto" and journal):
        return for_journal if journal else as_json
    return in_colour if stream.isatty() and "NO_COLOR" not in environ else as_text


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether the stream is the one systemd connected to its journal, and not one redirected since: systemd.exec(5)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"
