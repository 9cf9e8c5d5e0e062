"""What a start runs in the place of what its files say, from the journal and the store."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from flowrt.events import Emit, UpdateFailed
from flowrt.graph.difference import difference
from flowrt.graph.plan import Plan
from flowrt.graph.resolve import Stored
from flowrt.problem import Problem
from flowrt.registry.blobs import Blobs, Refused
from flowrt.updates.beginning import Beginning, beginning
from flowrt.updates.deployment import Deployment, attempt, deployment_of
from flowrt.updates.journal import Candidate, Journal, Record
from flowrt.updates.storing import keep
from flowrt.values import replace

Load = Callable[[Path, bytes | None, Stored], tuple[Plan | None, list[Problem]]]
"""Reads a graph file, or the text that stands for it, as `flowrt run` reads its own."""


class Starting:
    """Any thread may use it."""

    def __init__(self, journal: Journal, blobs: Blobs, load: Load, emit: Emit) -> None:
        self._journal, self._blobs, self._load, self._emit = journal, blobs, load, emit
        self.later: list[tuple[str, Deployment]] = []
        """Graphs, and what is to be tried once they run: what an end has interrupted."""

    def proven_for(self, name: str, plan: Plan | None) -> Plan | None:
        """The proven version where that is to run instead of a plan, which is None for a file that has problems."""
        record = self._journal.read(name)
        begun = beginning(record, deployment_of(plan).fingerprint if plan is not None else None)
        if begun.record != record and record != Record():
            with contextlib.suppress(OSError):
                self._journal.write(name, begun.record)
        if not begun.proven or begun.record.proven is None:
            self._note_unproven(name, plan, begun)
            return None
        proven = self.plan_of(begun.record.proven)
        if proven is None:
            words = "other: the proven version is no longer whole in the store"
            self._emit(UpdateFailed(name, begun.record.proven.version, "interrupted", words))
            return None
        self._emit(UpdateFailed(name, plan.version if plan else "", "interrupted", begun.reason))
        self._journal.note(name, proven.version, "started", begun.reason)
        if begun.then and begun.record.candidate is not None:
            self.later.append((name, begun.record.candidate.deployment))
        return proven

    def plan_of(self, deployment: Deployment) -> Plan | None:
        """A deployment from the store; None when it is not whole there, or is not sound here any more."""
        blobs = self._blobs
        try:
            text = blobs.read(deployment.text)
            modules = {name: _whole(blobs, digest) for name, digest in deployment.modules.items()}
        except Refused:
            return None
        models = {path: blobs.path(digest) for path, digest in deployment.models.items() if blobs.whole(digest)}
        plan, _ = self._load(Path(deployment.path), text, Stored(modules, models))
        return plan if plan is not None and deployment_of(plan).digests == deployment.digests else None

    def _note_unproven(self, name: str, plan: Plan | None, begun: Beginning) -> None:
        """A start with something new, where there is something proven to go back to if it brings the program down."""
        record = begun.record
        if plan is None or record.proven is None:
            return
        wanted = deployment_of(plan)
        if wanted.fingerprint == record.proven.fingerprint:
            return
        with contextlib.suppress(OSError, Refused):
            keep(self._blobs, plan)
            key = attempt(plan, difference(plan, replace(plan, nodes={})))
            self._journal.write(name, replace(record, candidate=Candidate(wanted, key)))


def _whole(blobs: Blobs, digest: str) -> Path:
    """Where a blob is. Raises `Refused` when it is not there undamaged."""
    blobs.check(digest)
    return blobs.path(digest)
