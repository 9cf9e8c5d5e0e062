"""What may be asked of a running runtime, whichever way it is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flowrt.graph.resolve import NOTHING_STORED
from flowrt.problem import has_errors
from flowrt.updates.manager import Manager
from flowrt.updates.running import Declined, Running
from flowrt.updates.starting import Load
from flowrt.updates.turns import SHORT_TURNS

PATH_MAX = 4096
"""Characters; what Linux takes."""


class Requests:
    """Answers requests. Any thread may ask."""

    def __init__(self, manager: Manager, load: Load, state: Path) -> None:
        self._manager = manager
        self._load = load
        self._state = state

    def __call__(self, request: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
        """Answers as they come; the last has `done`, and `error` when nothing was done."""
        try:
            match request:
                case {"do": "apply", "path": str(path), "text": str(text)}:
                    yield from self._apply(path, text, again=request.get("again") is True)
                case {"do": "apply", "artifact": str(artifact), "graph": str(name)}:
                    yield from self._arrive(name or self._only(), artifact, again=request.get("again") is True)
                case {"do": "rollback", "graph": str(name)}:
                    yield from follow(self._manager.rollback(name or self._only()))
                case {"do": "status"}:
                    yield {"graphs": self._manager.status(), "done": True}
                case _:
                    yield {"error": f"there is no request '{request.get('do')}'", "done": True}
        except Declined as declined:
            yield {"error": str(declined), "done": True}

    def _apply(self, path: str, text: str, *, again: bool) -> Iterator[Mapping[str, Any]]:
        if not path.startswith("/") or "\0" in path or len(path) > PATH_MAX:
            raise Declined("path is the whole path of a file: what the graph names is looked for from there")
        try:
            data = text.encode()
        except UnicodeEncodeError as error:
            raise Declined(f"that is no text: {error}") from None
        with SHORT_TURNS:
            plan, problems = self._load(Path(path), data, NOTHING_STORED)
        for problem in problems:
            yield {"problem": str(problem)}
        if plan is None or has_errors(problems):
            yield {"error": "the file has problems; what ran before runs on", "done": True}
            return
        running = self._manager.apply(plan, again=again)
        if running is None:
            yield {"graph": plan.name, "outcome": "proven", "reason": "it runs already", "done": True}
            return
        yield from follow(running)

    def _arrive(self, graph: str, artifact: str, *, again: bool) -> Iterator[Mapping[str, Any]]:
        """A graph of the store, or of a registry: who may open the socket may name any."""
        from flowrt.registry.orders import Order
        from flowrt.updates.arrivals import Arrivals  # few updates come so

        arrivals = Arrivals(self._manager, self._load, self._state)
        order = Order("apply", "", "", 0, 0, artifact, again=again)
        yield from arrivals.carry_out(order, graph, lambda _source: lambda _done, _total: None, anywhere=True)

    def _only(self) -> str:
        graphs = self._manager.runtime.graphs if self._manager.runtime else []
        if len(graphs) != 1:
            raise Declined("name the graph: " + (", ".join(graph.name for graph in graphs) or "none is running"))
        return graphs[0].name


def follow(running: Running) -> Iterator[Mapping[str, Any]]:
    """Each step as it is made, then how it ended."""
    told = 0
    while True:
        with running.changed:
            if len(running.progress) == told and not running.ended.is_set():
                running.changed.wait(1.0)
            news = running.progress[told:]
        told += len(news)
        for state, detail in news:
            yield {"state": state, "detail": detail}
        if running.ended.is_set() and told == len(running.progress):
            break
        if running.thread is not None and not running.thread.is_alive() and not running.ended.is_set():
            yield {"error": "the runtime ended in the midst of it; its next start takes it up", "done": True}
            return
    name = running.steps.plan.name
    ended = {"graph": name, "outcome": running.outcome, "reason": running.reason}
    yield {**ended, "pauses": running.steps.pauses, "done": True}
