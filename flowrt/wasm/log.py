"""What the guests of one node write: log lines, so many a second, and streams cut into lines."""

from __future__ import annotations

import time
from collections.abc import Callable

from flowrt.counters import NodeCounters
from flowrt.events import Emit, GuestLogged
from flowrt.wasm.imports import TEXT_MAX


class GuestLog:
    """Turns a node's texts into events, at most `lines` in any second that begins with a line."""

    def __init__(
        self,
        emit: Emit,
        graph: str,
        node: str,
        lines: int,
        clock: Callable[[], float] = time.monotonic,
        counters: NodeCounters | None = None,
    ) -> None:
        """`counters` are where lines are counted that are left out."""
        self._counters = counters
        self.left_out = 0
        """Lines over the quota, since the start."""
        self._emit, self._graph, self._node, self._lines, self._clock = emit, graph, node, lines, clock
        self._second = float("-inf")
        self._written = 0
        self._reported = 0

    def write(self, severity: str, text: str) -> None:
        now = self._clock()
        if now - self._second >= 1.0:
            self._second, self._written = now, 0
            self._report()
        if self._written >= self._lines:
            self.left_out += 1
            if self._counters is not None:
                self._counters.lines_left_out += 1
            return
        self._written += 1
        self._emit(GuestLogged(self._graph, self._node, severity, text))

    def tell(self, severity: str, text: str) -> None:
        """Something of ours about the guest, which no quota leaves out."""
        self._emit(GuestLogged(self._graph, self._node, severity, text))

    def cut(self) -> None:
        """Count a line that was too long and has lost its end."""
        if self._counters is not None:
            self._counters.lines_cut += 1

    def _report(self) -> None:
        """Says how many lines an earlier second left out: not itself one of the quota."""
        missing, self._reported = self.left_out - self._reported, self.left_out
        if missing and self._lines:
            self.tell("warning", f"{missing} log lines were left out")


class LineBuffer:
    """Cuts what a guest writes to a stream into lines; a line longer than `TEXT_MAX` becomes several."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._rest = b""

    def feed(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._line(self._parted(line))
        self._rest = self._parted(rest)

    def flush(self) -> None:
        """What stands there without a line's end: before the stream's owner goes."""
        rest, self._rest = self._rest, b""
        if rest:
            self._line(rest)

    def _parted(self, line: bytes) -> bytes:
        """Write what is too long for one line, but for its end."""
        while len(line) > TEXT_MAX:
            self._line(line[:TEXT_MAX])
            line = line[TEXT_MAX:]
        return line

    def _line(self, line: bytes) -> None:
        self._write(line.decode("utf-8", "replace").rstrip("\r"))
