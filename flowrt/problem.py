"""A mistake in a user's file, as data.

Checks never raise for a user's mistake: they return problems, all of them, and one formatter prints them as
`file:line:col: code: message`. Codes are a closed list, each with the sentence that stands in `docs/problems.md`.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable

from flowrt.values import Struct


class Severity(enum.Enum):
    """Errors make `flowrt check` end with 1; warnings do not."""

    ERROR = "error"
    WARNING = "warning"


class Problem(Struct, frozen=True):
    """One mistake, where it stands and what to do about it."""

    path: str
    line: int
    """From 1; 0 where the file as a whole is meant."""
    column: int
    """From 1, in characters."""
    code: str
    """A member of `flowrt.graph.codes.CODES`."""
    message: str
    """Names the node, what was found and what to do."""
    node: str | None = None
    severity: Severity = Severity.ERROR

    def __str__(self) -> str:
        warning = "warning: " if self.severity is Severity.WARNING else ""
        return f"{self.path}:{self.line}:{self.column}: {warning}{self.code}: {self.message}"


def has_errors(problems: Iterable[Problem]) -> bool:
    return any(problem.severity is Severity.ERROR for problem in problems)


def in_order(problems: Iterable[Problem]) -> list[Problem]:
    """By file, then position, each once."""
    return sorted(set(problems), key=lambda p: (p.path, p.line, p.column, p.code, p.message))


def nearest(found: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?` for the closest known name, or nothing."""
    from difflib import get_close_matches  # of use only to files with mistakes

    close = get_close_matches(found, list(known), n=1, cutoff=0.6)
    return f"; did you mean '{close[0]}'?" if close else ""
