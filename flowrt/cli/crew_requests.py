"""What `flowrt apply`, `status` and `rollback` can ask of a runtime with `--workers`: it reads its own files again, as
at SIGHUP, and says what became of that. Workers are drained and started anew, without a trial or a way back."""

from __future__ import annotations

import argparse
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from flowrt.cli import loading
from flowrt.graph.plan import Plan
from flowrt.problem import has_errors
from flowrt.runtime.places import state_folder
from flowrt.updates.deployment import deployment_of
from flowrt.updates.journal import Journal
from flowrt.workers.allowed import objections

PATIENCE_SECONDS = 60.0
"""Beyond the drain time: how long a reload may take before who asked is told that it goes on."""
_ROLLBACK = "a runtime with --workers keeps no earlier version: put the earlier file in its place and apply that"


class CrewRequests:
    """Answers requests. Any thread may ask; `reloaded` is told by the one that reloads."""

    def __init__(
        self,
        options: argparse.Namespace,
        running: Callable[[], tuple[Sequence[Plan], bool]],
        ask_reload: Callable[[], None],
    ) -> None:
        """`running` gives the plans that run, and whether all workers are ready."""
        self._options, self._running, self._ask_reload = options, running, ask_reload
        self._journal = Journal(state_folder(options.state))
        self._turn = threading.Condition()
        self._turns = 0
        self._reason = ""

    def reloaded(self, plans: Sequence[Plan], reason: str) -> None:
        """The files were read again; `reason` says why what ran before runs on, if it does."""
        for plan in plans:
            words = reason or "workers were drained and started anew"
            self._journal.note(plan.name, plan.version, "refused" if reason else "restarted", words)
        with self._turn:
            self._turns, self._reason = self._turns + 1, reason
            self._turn.notify_all()

    def __call__(self, request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Answers as they come; the last has `done`."""
        match request:
            case {"do": "status"}:
                yield {"graphs": self._status(), "done": True}
            case {"do": "apply", "path": str(path), "text": str()}:
                yield from self._apply(path)
            case {"do": "apply"}:
                yield {"error": "a runtime with --workers takes only the files that it runs", "done": True}
            case {"do": "rollback"}:
                yield {"error": _ROLLBACK, "done": True}
            case _:
                yield {"error": f"there is no request '{request.get('do')}'", "done": True}

    def _status(self) -> list[dict[str, Any]]:
        plans, ready = self._running()
        nothing = {"proven": False, "update": None, "reason": "", "previous": None, "bad": 0}
        return [
            {"graph": plan.name, "version": plan.version, "ready": ready, "runs": deployment_of(plan).as_json()}
            | nothing
            for plan in plans
        ]

    def _apply(self, path: str) -> Iterator[Mapping[str, Any]]:
        files = [file.absolute() for file in self._options.files]
        if Path(path) not in files:
            words = f"a runtime with --workers takes only the files that it runs: {', '.join(map(str, files))}"
            yield {"error": f"{words}; put the new one in its place and apply that", "done": True}
            return
        plans, problems = loading.load_all(self._options, to_run=True)
        problems += [problem for plan in plans for problem in objections(plan)]
        for problem in problems:
            yield {"problem": str(problem)}
        if has_errors(problems):
            yield {"error": "the file has problems; what ran before runs on", "done": True}
            return
        yield {"state": "restart", "detail": "workers are drained and started anew, without a trial"}
        with self._turn:
            turn = self._turns
            self._ask_reload()
            if not self._turn.wait_for(lambda: self._turns > turn, self._options.drain + PATIENCE_SECONDS):
                yield {"error": "workers are still being drained; `flowrt history` will say how it ended", "done": True}
                return
            reason = self._reason
        yield {"graph": plans[0].name, "outcome": "refused" if reason else "proven", "reason": reason, "done": True}
