"""What must survive a power cut in the midst of an update, one file a graph, and the history of all of them.

Before anything is changed, what is wanted lies whole in the store and is written down as the candidate; what ran before
is `proven`, whole as well. Only when the candidate has proven itself does it become `proven`, in one write. So at
every moment there is a proven version to start from, and a candidate that was cut is known as one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from flowrt.parsing import parsed
from flowrt.registry.files import make_folder, write_whole
from flowrt.updates.deployment import Deployment, deployment_from
from flowrt.updates.lifecycle import FIRST, State
from flowrt.values import Struct, field

FOLDER = "updates"
"""Of the state folder."""
CUTS_MAX = 3
"""An update that was cut so often is not tried again: perhaps it is what brings the machine down."""
BAD_MAX = 200
"""Verdicts remembered; the oldest are forgotten."""
RECORDED = "recorded"
"""What the file ends with that holds the recorded messages of a graph."""
NAME_MAX = 200
"""Characters of a graph's name in the name of a file; the kernel takes 255 in all."""
HISTORY_BYTES = 2**20
"""Of the history; then its older half is let go."""


class Candidate(Struct, frozen=True):
    """An update that is under way."""

    deployment: Deployment
    attempt: str
    """What is tried: see `deployment.attempt`."""
    state: State = FIRST
    cuts: int = 0
    """How often the program ended in the midst of it."""


class Record(Struct, frozen=True):
    """What is known of one graph."""

    base: str = ""
    """Fingerprint of what its files said when it was last looked at."""
    proven: Deployment | None = None
    previous: Deployment | None = None
    """What was proven before that: where `flowrt rollback` leads."""
    candidate: Candidate | None = None
    bad: Mapping[str, str] = field(default_factory=dict)
    """Reason by attempt."""

    @property
    def digests(self) -> set[str]:
        """Everything of the store that must stay."""
        kept = [self.proven, self.previous, self.candidate.deployment if self.candidate else None]
        return {digest for deployment in kept if deployment is not None for digest in deployment.digests}


def file_of(state: Path, graph: str, kind: str) -> Path:
    """Where something about the updates of a graph is written down. Names that are too long for a file are cut, and
    told apart by a digest."""
    name = quote(graph, safe="")
    if len(name) > NAME_MAX:
        name = f"{name[:NAME_MAX]}-{hashlib.sha256(graph.encode()).hexdigest()[:16]}"
    return state / FOLDER / f"{name}.{kind}"


class Journal:
    """Any thread may use it. A file that cannot be read counts as not there: what runs is more than what is noted."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._folder = state / FOLDER
        self._lock = threading.Lock()

    def read(self, graph: str) -> Record:
        """What is known of a graph."""
        with contextlib.suppress(OSError, ValueError):
            return _record(parsed(self._path(graph).read_bytes()))
        return Record()

    def write(self, graph: str, record: Record) -> None:
        """In one step. Raises OSError."""
        bad = dict(list(record.bad.items())[-BAD_MAX:])
        candidate = record.candidate
        value = {
            "base": record.base,
            "proven": record.proven.as_json() if record.proven else None,
            "previous": record.previous.as_json() if record.previous else None,
            "candidate": None,
            "bad": bad,
        }
        if candidate is not None:
            value["candidate"] = {
                "deployment": candidate.deployment.as_json(),
                "attempt": candidate.attempt,
                "state": candidate.state,
                "cuts": candidate.cuts,
            }
        with self._lock:
            write_whole(self._path(graph), json.dumps(value, indent=1).encode())

    def forget_recorded(self, graph: str) -> None:
        """A graph that records no messages leaves none."""
        with contextlib.suppress(OSError):
            file_of(self.state, graph, RECORDED).unlink(missing_ok=True)

    def digests(self) -> set[str]:
        """Everything of the store that some graph needs."""
        found: set[str] = set()
        for path in self._folder.glob("*.graph"):
            with contextlib.suppress(OSError, ValueError):
                found |= _record(parsed(path.read_bytes())).digests
        return found

    def name_at(self, path: str) -> str | None:
        """The graph whose proven version came from a file."""
        for file in sorted(self._folder.glob("*.graph")):
            with contextlib.suppress(OSError, ValueError):
                proven = _record(parsed(file.read_bytes())).proven
                if proven is not None and proven.path == path:
                    return proven.name
        return None

    def note(self, graph: str, version: str, outcome: str, reason: str, **more: object) -> None:
        """One line of history. A disk that is full loses the line, not the update."""
        line = {"at": time.time(), "graph": graph, "version": version, "outcome": outcome, "reason": reason, **more}
        with self._lock, contextlib.suppress(OSError):
            self._shorten()
            make_folder(self._folder)
            with self._history.open("ab") as file:
                file.write(json.dumps(line).encode() + b"\n")
                file.flush()
                os.fsync(file.fileno())

    def history(self) -> Iterator[dict[str, Any]]:
        """Every line, the oldest first; one that was cut is left out."""
        with contextlib.suppress(OSError):
            for line in self._history.read_bytes().splitlines():
                with contextlib.suppress(ValueError):
                    value = parsed(line)
                    if isinstance(value, dict):
                        yield value

    @property
    def _history(self) -> Path:
        return self._folder / "history.jsonl"

    def _path(self, graph: str) -> Path:
        return file_of(self.state, graph, "graph")

    def _shorten(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            if self._history.stat().st_size > HISTORY_BYTES:
                lines = self._history.read_bytes().splitlines(keepends=True)
                write_whole(self._history, b"".join(lines[len(lines) // 2 :]))


def _record(value: Mapping[str, Any]) -> Record:
    """Raises ValueError for what is no record."""
    try:
        candidate = value["candidate"]
        return Record(
            str(value["base"]),
            deployment_from(value["proven"]) if value["proven"] else None,
            deployment_from(value["previous"]) if value["previous"] else None,
            Candidate(
                deployment_from(candidate["deployment"]),
                str(candidate["attempt"]),
                candidate["state"],
                int(candidate["cuts"]),
            )
            if candidate
            else None,
            {str(key): str(reason) for key, reason in value["bad"].items()},
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a record: {error!r}") from None
