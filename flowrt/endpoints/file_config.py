"""What users write of a file endpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from flowrt.options import Field, Options
from flowrt.quota.quantity import Bytes

STANDARD_STREAM = "-"
"""The path that means standard input or output."""


class FileOptions(Options):
    """A file of one message a line: sources read it, sinks append to it."""

    path: Path
    """The file; `-` is standard input or output. A relative path starts at the graph's folder."""
    format: Literal["jsonl", "lines"] = "jsonl"
    """`jsonl` is one JSON value a line; `lines` is any text a line. A source skips empty lines of both."""
    follow: bool = False
    """A source waits at the end for lines to come, instead of ending there."""
    resume: bool | None = None
    """A source that starts again goes on behind the lines that were handled, instead of at the beginning. Unset: where
    it follows. A file that was rotated, truncated or written anew is named in the log, and read from its start."""
    rate: float | None = Field(None, gt=0, le=1_000_000)
    """Messages a second a source reads at most. Unset: as fast as the graph takes them."""
    max_line: Bytes = Field(16 * 2**20, ge=1, le=256 * 2**20)
    """Longest line a source takes; longer ones are skipped and counted as malformed."""
