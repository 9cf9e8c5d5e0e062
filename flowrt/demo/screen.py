"""What the demo shows: a line a second, a bar for the score, a rule where something happens.

Colours and bars for a terminal; in a pipe the same lines without escape codes.
"""

from __future__ import annotations

import math
from typing import TextIO

from flowrt.demo.client import Verdict
from flowrt.demo.simulator import UNITS, Reading

_COLUMNS = ("flow", "pressure", "current", "accelerometer1", "thermocouple")
_HEADINGS = {"accelerometer1": "vibration", "thermocouple": "bearing"}
_WIDTH = 28
_FIXED, _COLUMN = 69, 11
"""Characters of a line without sensors, and of each sensor."""
WIDEST = _FIXED + _COLUMN * len(_COLUMNS)
_SCORE_LOW, _SCORE_HIGH = 0.1, 100.0
"""Ends of the bar, whose scale is logarithmic."""
_BOLD, _DIM, _RED, _GREEN, _YELLOW, _PLAIN = "1", "2", "31", "32", "33", "0"


class Screen:
    """Writes to `out`. `threshold` is the score at which the graph's verdict raises an alert; a line shows as many
    sensors as fit into `width` characters."""

    def __init__(self, out: TextIO, threshold: float, *, width: int = WIDEST, colour: bool) -> None:
        self._out = out
        self._threshold = threshold
        self._colour = colour
        self._mark = _position(threshold)
        self._columns = _COLUMNS[: max((width - _FIXED) // _COLUMN, 1)]
        self._width = min(width, WIDEST)

    def text(self, line: str = "") -> None:
        self._out.write(f"{line}\n")
        self._out.flush()

    def heading(self) -> None:
        names = "".join(f"{_HEADINGS.get(name, name):>11}" for name in self._columns)
        units = "".join(f"{UNITS[name]:>11}" for name in self._columns)
        self.text(self._paint(_BOLD, f"{'pump time':>9}{names}{'score':>9}"))
        bar = " " * self._mark + f"│ alert above {self._threshold:g}"
        self.text(self._paint(_DIM, f"{'min:s':>9}{units}{'':>9}  {bar}"))

    def line(self, second: int, reading: Reading, verdict: Verdict | None) -> None:
        """The pump at one second, and the verdict worth showing since the last line; None while the window fills."""
        values = "".join(f"{reading[name]:>#11.4g}" for name in self._columns)
        self.text(f"{clock(second):>9}{values}" + self._score(verdict))

    def event(self, second: int, words: str, *, alarm: bool) -> None:
        """A rule across the table at the moment something happens."""
        rule = f"{clock(second):>9} ── {words} "
        self.text(self._paint(_RED if alarm else _YELLOW, rule + "─" * max(self._width - 20 - len(rule), 2)))

    def result(self, words: str, *, good: bool) -> None:
        self.text(self._paint(_GREEN if good else _RED, words))

    def _score(self, verdict: Verdict | None) -> str:
        if verdict is None:
            return f"{'-':>9}  " + self._paint(_DIM, "the window of 16 readings fills")
        length = _position(verdict.score)
        cells = ["█" if cell < length else " " for cell in range(_WIDTH)]
        if length <= self._mark:
            cells[self._mark] = "│"
        bar = self._paint(_RED if verdict.alert else _GREEN, "".join(cells))
        state = self._paint(_RED, f"ALERT {verdict.sensor}") if verdict.alert else "normal"
        return f"{verdict.score:>9.2f}  {bar} {state}"

    def _paint(self, code: str, text: str) -> str:
        return f"\x1b[{code}m{text}\x1b[{_PLAIN}m" if self._colour else text


def clock(second: int) -> str:
    """Seconds of the pump's time as `4:05`."""
    return f"{second // 60}:{second % 60:02d}"


def _position(score: float) -> int:
    """Where a score stands on the bar, 0 to its width."""
    parts = math.log(max(score, _SCORE_LOW) / _SCORE_LOW) / math.log(_SCORE_HIGH / _SCORE_LOW)
    return min(round(parts * _WIDTH), _WIDTH - 1)
