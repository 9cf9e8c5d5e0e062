"""The exceptions of flowrt, by whose fault it is.

    FlowrtError
    ├── GraphError         the user's file: carries its problems
    ├── StartError         the surroundings: a port in use, a folder that cannot be written
    ├── MissingExtra       an optional engine is not installed; names the pip command
    ├── NodeFault          a node failed at run time: module, model or peer
    │   ├── GuestTrap      the guest trapped; its instance must not be called again
    │   └── GuestMisuse    the guest broke the ABI (wild pointer, impossible length); treated as a trap
    └── FlowrtBug          ours: should never happen, please report

A mistake in a file is a `Problem` first; `GraphError` only carries problems to where they are printed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowrt.problem import Problem


class FlowrtError(Exception):
    """Base of all."""


class GraphError(FlowrtError):
    """A graph file has problems."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)))
        self.problems = tuple(problems)


class StartError(FlowrtError):
    """The runtime cannot start here, though the file is sound. The message says what to do."""


class MissingExtra(FlowrtError):
    """An optional package is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs an optional package: pip install 'flowrt[{extra}]'")
        self.extra = extra


class NodeFault(FlowrtError):
    """A node could not handle a message or a batch."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        """A member of `flowrt.events.FAULTS`: bounded, so that it can label a metric."""
        self.detail = detail


class GuestTrap(NodeFault):
    """A guest trapped, was interrupted at its deadline or ran out of a limit."""

    def __init__(self, kind: str, detail: str, backtrace: str = "") -> None:
        super().__init__(kind, detail)
        self.backtrace = backtrace


class GuestMisuse(GuestTrap):
    """A guest returned something the ABI does not allow."""

    def __init__(self, detail: str) -> None:
        super().__init__("abi", detail)


class FlowrtBug(FlowrtError):
    """A state that cannot be: please report it with the log."""


def in_words(error: BaseException, named: str = "") -> str:
    """An error of the system as people read it, without numbers; what it is about is left out when `named` already."""
    reason = getattr(error, "reason", None)
    if isinstance(reason, OSError):  # of urllib
        return in_words(reason, named)
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    about = "" if error.filename is None or str(error.filename) == named else f"{error.filename}: "
    return about + error.strerror
