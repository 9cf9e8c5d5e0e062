"""Every update of one process: one at a time for each graph, each written down before it is begun."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from flowrt.events import Emit, StoreFailed, UpdateFailed
from flowrt.graph.difference import difference
from flowrt.graph.plan import Plan
from flowrt.registry.blobs import Refused
from flowrt.registry.budget import DEFAULT_BYTES
from flowrt.registry.store import Store
from flowrt.runtime.graph import RunningGraph
from flowrt.runtime.runtime import Runtime
from flowrt.updates.deployment import Deployment, attempt, deployment_of
from flowrt.updates.housekeeping import Housekeeping
from flowrt.updates.journal import Candidate, Journal, Record
from flowrt.updates.lifecycle import ENDS, State
from flowrt.updates.memory import give_back
from flowrt.updates.running import Declined, Running, UnderWay, nothing
from flowrt.updates.starting import Load, Starting
from flowrt.updates.step import Cut, Steps
from flowrt.updates.storing import keep, stored_plan
from flowrt.updates.turns import SHORT_TURNS
from flowrt.values import replace

if TYPE_CHECKING:
    from flowrt.updates.recorded import Recorded
    from flowrt.updates.recording import Recorder

AGAIN_SECONDS = 1.0
"""Between tries to write down how an update ended, on a full disk for one."""

KEEP_SECONDS = 0.2
"""After the start, when what runs is put into the store: not while it starts."""

_MEANWHILE = "an update of it is under way; the files are read again when it has ended"


class Manager:
    """Made before the runtime; `attach` once that is there."""

    def __init__(self, state: Path, emit: Emit, load: Load, drain: float, disk: int = DEFAULT_BYTES) -> None:
        """`disk`: bytes that the store and compiled code may take."""
        self.journal = Journal(state)
        self.store = Store(state / "store")
        self.runtime: Runtime | None = None
        self.house = Housekeeping(self.store, self.journal, disk, lambda: self._running)
        self._starting = Starting(self.journal, self.store.blobs, load, emit)
        self._emit = emit
        self._drain = drain
        self._ending = threading.Event()
        self._lock = threading.Lock()
        self._last: dict[str, Running] = {}
        self.changed: Callable[[], None] = nothing
        """Called when what runs, or how it may be updated, may be another than before."""
        self.again: Callable[[], None] = nothing
        """Called when an update has ended that a reload met: what the files say by then may be something else."""
        self._met: set[str] = set()
        self._recorder: Recorder | None = None
        self._keeper = threading.Thread(target=self._keep, name="flowrt/updates", daemon=True)

    # The start.

    def begin(self, plans: Sequence[Plan]) -> list[Plan]:
        """What to run: each plan, or the proven one in its place. Never raises for what is written: then it is the
        plan."""
        return [self._starting.proven_for(plan.name, plan) or plan for plan in plans]

    def proven_at(self, path: Path) -> Plan | None:
        """The last proven version of a graph whose file has problems."""
        name = self.journal.name_at(str(path))
        return None if name is None else self._starting.proven_for(name, None)

    def attach(self, runtime: Runtime) -> None:
        """What runs from here on. Takes up what was interrupted."""
        self.runtime = runtime
        self._record()
        later, self._starting.later = self._starting.later, []
        for name, deployment in later:
            plan = self._starting.plan_of(deployment)
            with contextlib.suppress(Declined):
                if plan is not None:
                    self.apply(plan, resumed=True)
                else:
                    self._forget(name, "other: what was to be tried is no longer in the store")
        self._keeper.start()

    def close(self) -> None:
        """Begin nothing more, and let go of what is under way: the next start takes it up."""
        self._ending.set()
        for running in list(self._last.values()):
            if running.thread is not None:
                running.thread.join(15.0)
        if self._keeper.ident is not None:
            self._keeper.join(15.0)
        if self._recorder is not None:
            self._recorder.close()

    # What may be asked for.

    def apply(
        self, plan: Plan, *, again: bool = False, resumed: bool = False, base: bool = False,
        proven: Callable[[], None] = nothing,
    ) -> Running | None:  # fmt: skip
        """Begin to change a running graph into another; None when it is that already. `again`: also if it failed
        before. `base`: it came from the files that the program was started with. `proven` is called when it has proven
        itself. Raises `Declined`."""
        with self._lock, SHORT_TURNS:
            graph = self._graph(plan)
            if (last := self._last.get(graph.name)) is not None and not last.ended.is_set():
                raise UnderWay(f"an update of graph '{graph.name}' is under way; wait for it or roll it back")
            record = self.journal.read(graph.name)
            what = difference(graph.plan, plan)
            wanted = deployment_of(plan)
            if base:
                record = replace(record, base=wanted.fingerprint)
            if not what:
                self._rename(graph, plan, record)
                return None
            key = attempt(plan, what)
            if not again and key in record.bad:
                raise Declined(f"it was tried before and failed: {record.bad[key]}; --again tries it all the same")
            try:
                plan = self._keep_both(graph, plan, wanted, record, key, resumed=resumed)
            except (OSError, Refused) as error:
                raise Declined(f"it cannot be kept in the store: {error}") from error
            running = self._last[graph.name] = self._made(graph, plan)
            running.proven = proven
        running.thread = threading.Thread(
            target=self._run, args=(running, graph.name, plan, key), name=f"flowrt/update/{graph.name}", daemon=True
        )
        running.thread.start()
        return running

    def reload(self, plans: Sequence[Plan]) -> list[Running | str]:
        """What the files say now: an update for each graph that differs, or why there is none."""
        results: list[Running | str] = []
        for plan in plans:
            try:
                running = self.apply(plan, base=True)
            except UnderWay:
                running = self._meet(plan)
                results += [] if running is not None else [f"graph '{plan.name}': {_MEANWHILE}"]
            except Declined as declined:
                running = None
                results.append(f"graph '{plan.name}': {declined}")
            results += [running] if running is not None else []
        return results

    def rollback(self, name: str) -> Running:
        """Take back the update that is under way, or go back to what was proven before. Raises `Declined`."""
        last = self._last.get(name)
        if last is not None and not last.ended.is_set():
            last.steps.asked.set()
            return last
        self.graph(name)
        record = self.journal.read(name)
        if record.previous is None:
            raise Declined(f"nothing was proven before what graph '{name}' runs")
        plan = self._starting.plan_of(record.previous)
        if plan is None:
            raise Declined("what was proven before is no longer whole in the store")
        running = self.apply(plan, again=True)
        if running is None:
            raise Declined("what was proven before is what runs")
        return running

    def graph(self, name: str) -> RunningGraph:
        """What runs by a name. Raises `Declined`."""
        graphs = self.runtime.graphs if self.runtime is not None else []
        for graph in graphs:
            if graph.name == name:
                return graph
        names = ", ".join(graph.name for graph in graphs) or "none"
        raise Declined(f"no graph '{name}' is running here; running: {names}")

    def under_way(self, name: str) -> bool:
        """Whether an update of a graph is."""
        return (last := self._last.get(name)) is not None and not last.ended.is_set()

    def status(self) -> list[dict[str, Any]]:
        """What runs, and how far its update has come, a graph each."""
        found = []
        for graph in self.runtime.graphs if self.runtime else ():
            record, last = self.journal.read(graph.name), self._last.get(graph.name)
            deployment = deployment_of(graph.plan)
            found.append(
                {
                    "graph": graph.name,
                    "version": graph.plan.version,
                    "ready": graph.ready(),
                    "proven": record.proven is not None and record.proven.fingerprint == deployment.fingerprint,
                    "update": None if last is None else last.steps.state,
                    "reason": "" if last is None else last.reason,
                    "runs": deployment.as_json(),
                    "previous": record.previous.as_json() if record.previous else None,
                    "bad": len(record.bad),
                }
            )
        return found

    # Inside.

    def _meet(self, plan: Plan) -> Running | None:
        """The update under way, where it is what the files say; else its end is waited for."""
        with self._lock:
            name = self._graph(plan).name
            last = self._last[name]
            if deployment_of(last.steps.plan).fingerprint == deployment_of(plan).fingerprint:
                return last
            self._met.add(name)
        if last.ended.is_set():
            self._take_up(name)
        return None

    def _take_up(self, name: str) -> None:
        with self._lock:
            met = name in self._met
            self._met.discard(name)
        if met:
            self.again()

    def _graph(self, plan: Plan) -> RunningGraph:
        graphs = self.runtime.graphs if self.runtime is not None else []
        for key in ("name", "path"):
            for graph in graphs:
                if getattr(graph.plan, key) == getattr(plan, key):
                    return graph
        return self.graph(plan.name)

    def _keep_both(
        self, graph: RunningGraph, plan: Plan, wanted: Deployment, record: Record, key: str, *, resumed: bool
    ) -> Plan:
        """Write down what runs as proven, unless something is, and what is wanted as the candidate."""
        runs = deployment_of(graph.plan)
        if record.proven is None:
            with contextlib.suppress(Refused):  # its files have changed already: it lives in memory only
                keep(self.store.blobs, graph.plan)
                record = replace(record, proven=runs)
        if not record.base:
            record = replace(record, base=runs.fingerprint)
        keep(self.store.blobs, plan)
        cuts = record.candidate.cuts if resumed and record.candidate is not None else 0
        self.journal.write(graph.name, replace(record, candidate=Candidate(wanted, key, cuts=cuts)))
        return stored_plan(self.store.blobs, plan)

    def _made(self, graph: RunningGraph, plan: Plan) -> Running:
        if self.runtime is None:
            raise Declined("nothing runs yet")
        running: Running

        def moved(state: State, detail: str) -> None:
            self._moved(graph.name, running, state, detail)

        from flowrt.updates.restart import Restart  # most runs are never updated
        from flowrt.updates.update import Update

        if difference(graph.plan, plan).beyond:
            steps: Steps = Restart(
                self.runtime, graph, plan, emit=self._emit, moved=moved, ending=self._ending, drain=self._drain,
                stored=lambda old: stored_plan(self.store.blobs, old), recorded=self._recorded,
            )  # fmt: skip
        else:
            steps = Update(
                self.runtime, graph, plan, emit=self._emit, moved=moved, ending=self._ending, recorded=self._recorded
            )
        running = Running(steps)
        return running

    def _run(self, running: Running, name: str, plan: Plan, key: str) -> None:
        began = monotonic()
        try:
            state, reason = running.steps.run()
        except Cut:
            return
        finally:
            running.steps.settled.set()
        running.reason = reason
        with SHORT_TURNS:
            self._end(name, plan, key, running, state)
            self.journal.note(
                plan.name, plan.version, state, reason, seconds=round(monotonic() - began, 3),
                changes=str(running.steps.what), digests=sorted(deployment_of(plan).digests),
            )  # fmt: skip
            give_back()
        running.outcome = state
        running.ended.set()
        with running.changed:
            running.changed.notify_all()
        self._record()
        self.changed()
        self._take_up(name)

    def _moved(self, name: str, running: Running, state: State, detail: str) -> None:
        """An end is written down when it is reached; what leads there may fail for want of a disk."""
        with running.changed:
            running.progress.append((state, detail))
            running.changed.notify_all()
        if state not in ENDS:
            record = self.journal.read(name)
            if record.candidate is not None:
                self.journal.write(name, replace(record, candidate=replace(record.candidate, state=state)))

    def _end(self, name: str, plan: Plan, key: str, running: Running, state: State) -> None:
        record = self.journal.read(name)
        if state == "proven":
            try:
                running.proven()
            except OSError as error:
                self._emit(StoreFailed("names of artifacts", str(error), 0.0))
            previous = record.proven if record.proven != deployment_of(plan) else record.previous
            record = Record(record.base, deployment_of(plan), previous, None, record.bad)
        else:
            bad = {**record.bad, key: running.reason} if running.steps.remember else record.bad
            record = replace(record, candidate=None, bad=bad)
        self._write(name, record, state)
        if state == "proven" and name != plan.name:
            self._write(plan.name, record, state)
        self.house.tidy()

    def _write(self, name: str, record: Record, state: State) -> None:
        """As often as it takes."""
        while True:
            try:
                self.journal.write(name, record)
                return
            except OSError as error:
                self._emit(StoreFailed(f"journal of updates ({state})", str(error), AGAIN_SECONDS))
                if self._ending.wait(AGAIN_SECONDS):
                    return

    def _rename(self, graph: RunningGraph, plan: Plan, record: Record) -> None:
        """Only words differ: version, comments, how updates are made."""
        wanted = deployment_of(plan)
        if deployment_of(graph.plan) != wanted:
            with graph.swapping:
                graph.plan = replace(
                    graph.plan, version=plan.version, path=plan.path, text=plan.text, updates=plan.updates
                )
            if self.runtime is not None:
                self.runtime.refresh()
            self._record()
            self.changed()
        if record != self.journal.read(graph.name):
            with contextlib.suppress(OSError):
                self.journal.write(graph.name, record)

    def _forget(self, name: str, reason: str) -> None:
        record = self.journal.read(name)
        with contextlib.suppress(OSError):
            self.journal.write(name, replace(record, candidate=None))
        self._emit(UpdateFailed(name, "", "refused", reason))

    # Golden messages recorded from live traffic.

    def _record(self) -> None:
        """For graphs that ask for it; of the others nothing is kept."""
        graphs = self.runtime.graphs if self.runtime is not None else []
        wanting = [graph for graph in graphs if graph.plan.updates.record is not None]
        for graph in graphs:
            if graph not in wanting:
                self.journal.forget_recorded(graph.name)
        if wanting and self._recorder is None and not self._ending.is_set():
            from flowrt.updates.recording import Recorder  # few graphs record

            self._recorder = Recorder(self.journal.state, lambda: self._running, self._is_proven, self._emit)
            self._recorder.start()

    @property
    def _running(self) -> Sequence[RunningGraph]:
        return self.runtime.graphs if self.runtime is not None else ()

    def _recorded(self, plan: Plan, name: str) -> Sequence[Recorded]:
        return self._recorder.of(plan, name) if self._recorder is not None else ()

    def _is_proven(self, graph: RunningGraph) -> bool:
        """Whether it runs what is proven, and nothing is being tried."""
        proven, runs = self.journal.read(graph.name).proven, deployment_of(graph.plan)
        same = proven is not None and (proven.modules, proven.models) == (runs.modules, runs.models)
        return same and not self.under_way(graph.name)

    # What runs since the start.

    def _keep(self) -> None:
        """What runs, into the store at once, for files beside the graph change; as proven once it has run for its
        probation."""
        if self.runtime is None or self._ending.wait(KEEP_SECONDS):
            return
        began = monotonic()
        waiting = {graph.name: graph for graph in self.runtime.graphs}
        for graph in waiting.values():
            with contextlib.suppress(OSError, Refused):
                keep(self.store.blobs, graph.plan)
        while waiting and not self._ending.wait(AGAIN_SECONDS):
            for name, graph in list(waiting.items()):
                if graph not in self.runtime.graphs or name in self._last:
                    del waiting[name]
                elif monotonic() - began >= graph.plan.updates.probation and graph.ready():
                    self._prove(graph)
                    del waiting[name]

    def _prove(self, graph: RunningGraph) -> None:
        with self._lock:
            if graph.name in self._last:  # an update has begun while this waited: what runs now is that one's to prove
                return
            record, runs = self.journal.read(graph.name), deployment_of(graph.plan)
            if record.proven is not None and record.proven.fingerprint == runs.fingerprint:
                if record.candidate is not None or not record.base:
                    self._write(graph.name, replace(record, candidate=None, base=runs.fingerprint), "proven")
                return
            with contextlib.suppress(OSError, Refused):
                keep(self.store.blobs, graph.plan)
                made = Record(record.base or runs.fingerprint, runs, record.proven, None, record.bad)
                self._write(graph.name, made, "proven")
                self.journal.note(graph.name, graph.plan.version, "proven", "ran for its probation since the start")
        self.house.tidy()
