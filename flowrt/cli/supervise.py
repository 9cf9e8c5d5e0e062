"""The life of `flowrt run --workers N`: sources here, everything else in N processes of the same program."""

from __future__ import annotations

import argparse
import gc
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from time import monotonic
from typing import TYPE_CHECKING

from flowrt.cli import loading
from flowrt.cli.crew_requests import CrewRequests
from flowrt.cli.signals import Signals
from flowrt.counters import NodeCounters
from flowrt.delivery.deadletters import DeadLetters
from flowrt.endpoints.base import Source
from flowrt.endpoints.registry import Endpoints
from flowrt.errors import NodeFault, StartError
from flowrt.events import Reloaded, StoreFailed
from flowrt.graph.plan import Plan
from flowrt.logs import Logs
from flowrt.message import Batch
from flowrt.operators.base import Fault, OnError
from flowrt.operators.source import SourceOperation
from flowrt.runtime.onerror import FaultHandler
from flowrt.runtime.places import state_folder
from flowrt.runtime.view import EndpointView, GraphView
from flowrt.service import Service
from flowrt.workers.allowed import objections
from flowrt.workers.blame import CRASHES
from flowrt.workers.crew import CANNOT_START, Worker
from flowrt.workers.dealing import Dealer
from flowrt.workers.figures import views

if TYPE_CHECKING:
    from flowrt.updates.control import Control
    from flowrt.web.server import WebServer

IDLE_SECONDS = 0.5
STARTING_SECONDS = 0.02
GRACE_SECONDS = 5.0
"""What a worker may take beyond the drain time to notice that its time is up; then it is killed."""


def supervise(plans: Sequence[Plan], options: argparse.Namespace) -> int:
    """Run until a signal or the end of every source. Raises `StartError`."""
    if options.embedded_broker is not None:
        raise StartError("--embedded-broker is for one process: leave out --workers")
    if loading.report([problem for plan in plans for problem in objections(plan)]):
        return 1
    logs = Logs(level=options.log_level, form=options.log_format)
    logs.take_over()
    signals, service = Signals(), Service()
    crew = Crew(plans, options, logs.emit, signals.happened.set)
    web = _web(options, lambda: crew.views())
    requests = CrewRequests(options, lambda: (crew.plans, crew.ready()), signals.ask_reload)
    control = _control(options, requests, logs)
    gc.enable()
    try:
        crew.start()
        service.ready()
        while (again := _until_something(crew, signals, service, logs)) is not None:
            if not again:
                crew.stop(options.drain)
                return CANNOT_START
            crew = _reloaded(crew, options, logs, service, signals.happened.set, requests)
        service.stopping()
        return 0 if crew.stop(options.drain) else 1
    finally:
        if control is not None:
            control.close()
        crew.stop(0.0)
        if web is not None:
            web.stop()
        signals.restore()
        logs.close()


class Crew:
    """The sources of all graphs, and the workers they deal to."""

    def __init__(
        self,
        plans: Sequence[Plan],
        options: argparse.Namespace,
        emit: Callable[[object], None],
        wake: Callable[[], None],
    ) -> None:
        self.plans = plans
        self.workers = [
            Worker(number, _command(options), wake, emit, self._condemn) for number in range(options.workers)
        ]
        self._letters = DeadLetters(state_folder(options.state) / "dead-letters.sqlite")
        self._stopping = threading.Event()
        self._faults: list[tuple[str, str, NodeCounters, FaultHandler]] = []
        """Of each source: the graph's name, its own, and what keeps its messages that end workers."""
        self._dealer = Dealer([worker.feed for worker in self.workers])
        self._sources: list[tuple[Plan, SourceOperation, Source]] = []
        self._wake = wake
        self._stopped = False
        self._ended: list[None] = []
        for plan in plans:
            ends = Endpoints(plan.name, plan.endpoints, emit=emit, state=state_folder(options.state))
            for node in plan.nodes.values():
                if isinstance(node.operation, SourceOperation):
                    self._sources.append((plan, node.operation, ends.source(node.operation)))
                    counters = NodeCounters()
                    handler = FaultHandler(
                        plan.name, node.name, OnError(), counters, self._letters, self._stopping, emit
                    )
                    self._faults.append((plan.name, node.name, counters, handler))

    def start(self) -> None:
        """Workers first: whoever reads must find a taker. Returns at once."""
        for worker in self.workers:
            worker.start()
        for number, (_, _, source) in enumerate(self._sources):
            source.start(self._dealer.deliver(number), self._one_ended)

    def ready(self) -> bool:
        return all(worker.ready for worker in self.workers) and all(source.ready() for _, _, source in self._sources)

    def broken(self) -> bool:
        return any(source.broken() for _, _, source in self._sources)

    def finished(self) -> bool:
        """Whether every source has come to its end and all that came of it is out."""
        return len(self._ended) == len(self._sources) and not any(worker.feed.open_count for worker in self.workers)

    def look_after(self) -> bool:
        """Start again who died; False when one cannot start at all."""
        return not [worker for worker in self.workers if worker.look_after() is not None]

    def views(self) -> list[GraphView]:
        """For the web server's threads."""
        present = [found for worker in self.workers if (found := worker.figures()) is not None]
        past = [worker.past for worker in self.workers if worker.past is not None]
        sources: dict[str, list[EndpointView]] = {}
        for plan, operation, source in self._sources:
            shown = EndpointView(operation.endpoint or operation.name, source.counters, source.ready)
            sources.setdefault(plan.name, []).append(shown)
        return views(present, past, sources, self.ready, [told[:3] for told in self._faults])

    def stop(self, seconds: float) -> bool:
        """Read nothing more, let every worker finish what it has, acknowledge, and end. Safe to call twice."""
        if self._stopped:
            return True
        self._stopped = True
        self._stopping.set()
        until = monotonic() + seconds + (GRACE_SECONDS if seconds else 0.0)
        for _, _, source in self._sources:
            source.stop()
        for worker in self.workers:
            if not worker.alive():
                worker.feed.abandon()
        # On a thread: it waits for workers that are busy, which must not keep us from ending them.
        threading.Thread(target=self._dealer.close, name="flowrt/close", daemon=True).start()
        drained = [worker.wait(until) for worker in self.workers]
        for worker in self.workers:
            worker.feed.abandon()
            worker.feed.join()
        for _, _, source in self._sources:
            source.close()
        self._letters.close()
        return all(drained)

    def _condemn(self, source: int, message: Batch) -> None:
        fault = NodeFault("crash", f"{CRASHES} worker processes ended while they had this message alone")
        self._faults[source][3].handle(Fault(message, fault))

    def _one_ended(self) -> None:
        self._ended.append(None)
        self._wake()


def _until_something(crew: Crew, signals: Signals, service: Service, logs: Logs) -> bool | None:
    """Wait for a signal or the end of every source, saying `ready` once. None to end, True to reload, False when a
    worker cannot start."""
    announced = False
    while not crew.finished():
        signals.happened.wait(IDLE_SECONDS if announced else STARTING_SECONDS)
        if signals.end:
            return None
        if signals.reload:
            signals.reload = False
            return True
        if not crew.look_after():
            return False
        if not announced and crew.ready():
            announced = True
            print("ready", file=sys.stderr, flush=True)
            service.status(f"every subscription is acknowledged; workers: {len(crew.workers)}")
        logs.tick()
        if not crew.broken():  # else the watchdog restarts the process
            service.alive()
    return None


def _reloaded(
    crew: Crew,
    options: argparse.Namespace,
    logs: Logs,
    service: Service,
    wake: Callable[[], None],
    requests: CrewRequests,
) -> Crew:
    """The crew for what the files say now. With problems, what runs goes on."""
    service.reloading()
    plans, problems = loading.load_all(options, to_run=True)
    problems += [problem for plan in plans for problem in objections(plan)]
    if loading.report(problems):
        reason = "the files have problems; what ran before runs on"
        logs.emit(Reloaded(done=False, reason=reason))
        requests.reloaded(crew.plans, reason)
    else:
        crew.stop(options.drain)
        crew = Crew(plans, options, logs.emit, wake)
        crew.start()
        logs.emit(Reloaded(done=True, reason=""))
        requests.reloaded(plans, "")
    service.ready()
    return crew


def _control(options: argparse.Namespace, requests: CrewRequests, logs: Logs) -> Control | None:
    """Without a control socket everything else goes on."""
    from flowrt.updates.control import Control

    try:
        return Control(state_folder(options.state), requests)
    except OSError as error:
        logs.emit(StoreFailed("control socket", error.strerror or str(error), 0.0))
        return None


def _web(options: argparse.Namespace, graphs: Callable[[], list[GraphView]]) -> WebServer | None:
    if not options.metrics:
        return None
    from flowrt.web.pages import pages
    from flowrt.web.server import WebServer

    web = WebServer(options.metrics, pages(graphs))
    web.start()
    print(f"metrics at {web.url}/metrics", file=sys.stderr, flush=True)
    return web


def _command(options: argparse.Namespace) -> Callable[[int, int, int], Sequence[str]]:
    arguments = list(_arguments(options))

    def command(number: int, messages: int, words: int) -> Sequence[str]:
        return [*arguments, "--as-worker", f"{number},{messages},{words}"]

    return command


def _arguments(options: argparse.Namespace) -> Iterator[str]:
    """The command line of a worker, but for its place."""
    yield from (sys.executable, "-m", "flowrt.cli.main", "run", *map(str, options.files))
    for folder in options.modules:
        yield from ("--modules", str(folder))
    for option, pairs in (("--set", options.set), ("--bind", options.bind)):
        for key, value in pairs:
            yield from (option, f"{key}={value}")
    if options.state is not None:
        yield from ("--state", str(options.state))
    if options.interpreter:
        yield "--interpreter"
    if options.cpu is not None:  # each worker has its part of what all graphs may use together
        yield from ("--cpu", f"{options.cpu / options.workers:.6f}")
    if options.memory is not None:
        yield from ("--memory", str(options.memory // options.workers))
    yield from ("--drain", str(options.drain), "--log-level", options.log_level, "--log-format", options.log_format)
