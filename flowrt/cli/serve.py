"""The life of `flowrt run` after its files were found sound: build, serve, reload, drain."""

from __future__ import annotations

import argparse
import contextlib
import gc
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from flowrt.cli import loading
from flowrt.cli.apply import disk
from flowrt.cli.signals import Signals
from flowrt.errors import FlowrtBug, NodeFault, StartError
from flowrt.events import Reloaded, StoreFailed
from flowrt.graph.graph import Reading
from flowrt.graph.load import read_anew
from flowrt.graph.plan import Plan
from flowrt.logs import Logs
from flowrt.runtime.places import state_folder
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.runtime.view import GraphView
from flowrt.service import Service
from flowrt.updates.manager import Manager
from flowrt.updates.memory import load_readers
from flowrt.updates.running import Running, wait_settled
from flowrt.updates.turns import SHORT_TURNS

if TYPE_CHECKING:
    from flowrt.updates.control import Control
    from flowrt.updates.remote import Remote
    from flowrt.web.server import WebServer

POLL_SECONDS = 0.01
"""Between looks for readiness while starting: a start is measured in tenths of a second."""
SETTLE_SECONDS = 60.0
"""How long a reload waits to tell the service manager that it is done; an update may take longer to prove itself."""
IDLE_SECONDS = 0.5
"""Between looks once ready: for the watchdog, and for sources that end."""


def serve(plans: Sequence[Plan], options: argparse.Namespace) -> int:
    """Run until a signal or the end of every source; exit status 3 when a graph has never come up. Raises `StartError`
    when none does."""
    logs = Logs(level=options.log_level, form=options.log_format)
    logs.take_over()
    service = Service()
    signals = Signals()
    with _broker(options) as broker:
        server = _Server(options, logs.emit, broker, signals.ask_reload)
        try:
            runtime = server.begin(plans)
            service.ready()
            with _watch(options, server, signals):
                while not _until_something(runtime, signals, service, logs):
                    service.reloading()
                    server.reload(partial(_go_on, signals, service))
                    service.ready()
            service.stopping()
        finally:
            server.end()
            signals.restore()
            logs.close()
    return 3 if runtime.missing else 0


class _Server:
    """The runtime, and the web server that shows whichever runtime is present."""

    def __init__(
        self,
        options: argparse.Namespace,
        emit: Callable[[object], None],
        broker: tuple[str, int] | None,
        ask_reload: Callable[[], None],
    ) -> None:
        self.runtime: Runtime | None = None
        self._options = options
        self._emit = emit
        self._broker = broker
        self._web: WebServer | None = None
        self._control: Control | None = None
        self._remote: Remote | None = None
        self._load = partial(loading.load_one, options, read=self._read)
        self._updates = Manager(state_folder(options.state), emit, self._load, options.drain, disk(options))
        self._updates.again = ask_reload
        self.watched: set[Path] = set()
        """The graph files and everything they name."""

    def begin(self, plans: Sequence[Plan]) -> Runtime:
        """Start what the files say, or what was proven last where that was to become it and did not come so far."""
        self.watched = _watched(self._options.files, plans)
        runtime = self.runtime = self.built(self._updates.begin(plans))
        if self._options.metrics and self._web is None:
            from flowrt.web.pages import pages
            from flowrt.web.server import WebServer

            self._web = WebServer(self._options.metrics, pages(self.views))
            self._web.start()
            print(f"metrics at {self._web.url}/metrics", file=sys.stderr, flush=True)
        _settle()
        runtime.start()
        self._updates.changed = self._refresh_remote
        self._updates.attach(runtime)
        self._listen()
        self._refresh_remote()
        return runtime

    def _refresh_remote(self) -> None:
        """Command topics and followed tags, where a graph has any: most have none, and nothing of it is loaded then."""
        runtime = self.runtime
        if runtime is None:
            return
        if self._remote is None:
            wants = [graph.plan.updates for graph in runtime.graphs]
            if not any(updates.commands is not None or updates.follow for updates in wants):
                return
            from flowrt.updates.arrivals import Arrivals
            from flowrt.updates.remote import Remote

            state = state_folder(self._options.state)
            self._remote = Remote(Arrivals(self._updates, self._load, state), runtime.surroundings, state)
        self._remote.refresh()

    def reload(self, go_on: Callable[[], bool]) -> None:
        """Read the files again and change what runs into what they say. With problems, what runs goes on. `go_on` is
        asked now and then whether to wait for it."""
        with SHORT_TURNS:
            if any(path.is_dir() for path in self._options.files):
                load_readers()
            plans, problems = loading.load_again(self._options, self._read)
        self.watched |= _watched(self._options.files, plans)
        if loading.report(problems):
            self._emit(Reloaded(done=False, reason="the files have problems; what ran before runs on"))
            return
        missing = set(self.runtime.missing) if self.runtime is not None else set()
        if self.runtime is not None:
            self.runtime.look_for_missing(plans)
        begun = self._updates.reload([plan for plan in plans if plan.name not in missing])
        updates = [one for one in begun if isinstance(one, Running)]
        wait_settled(updates, SETTLE_SECONDS, go_on)
        declined = [one for one in begun if isinstance(one, str)]
        still = self.runtime.missing.values() if self.runtime is not None else ()
        declined += [f"graph '{one.plan.name}' does not come up: {one.reason}" for one in still]
        failed = [f"graph '{one.steps.plan.name}': {one.reason}" for one in updates if one.reason]
        reason = "; ".join([*declined, *failed])
        self._emit(Reloaded(done=not reason, reason=reason and f"{reason}; what ran before runs on"))

    def _read(self, data: bytes, path: str, sets: Mapping[str, str], environ: Mapping[str, str]) -> Reading:
        """A file that is not known: beside what runs, in another process; before anything does, here."""
        if self.runtime is None:
            return read_anew(data, path, sets, environ)
        from flowrt.updates.reading import read_apart

        return read_apart(data, path, sets, environ)

    def _listen(self) -> None:
        """Without a control socket everything else goes on."""
        from flowrt.updates.control import Control
        from flowrt.updates.requests import Requests

        state = state_folder(self._options.state)
        try:
            self._control = Control(state, Requests(self._updates, self._load, state))
        except OSError as error:
            self._emit(StoreFailed("control socket", error.strerror or str(error), 0.0))

    def views(self) -> list[GraphView]:
        """Of what runs at present; for the web server's threads."""
        runtime = self.runtime
        return [] if runtime is None else runtime.views

    def end(self) -> None:
        if self._control is not None:
            self._control.close()
        self._updates.close()
        if self._remote is not None:
            self._remote.close()
        self._stop()
        if self._web is not None:
            self._web.stop()

    def built(self, plans: Sequence[Plan]) -> Runtime:
        around = Surroundings(
            self._emit,
            state_folder(self._options.state),
            interpreter=self._options.interpreter,
            broker=self._broker,
            budget=loading.budget(self._options),
        )
        try:
            return Runtime(plans, around, whole=False)
        except NodeFault as fault:
            raise StartError(str(fault)) from fault

    def _stop(self) -> None:
        if self.runtime is not None:
            self.runtime.stop(self._options.drain)
            self.runtime = None


def _settle() -> None:
    """Leave what was loaded out of every collection: it lives as long as the process, and looking through it would
    hold all threads up for some 10 ms, now and again."""
    if gc.get_freeze_count():  # a reload
        gc.unfreeze()
        gc.collect()
    gc.freeze()
    gc.enable()


def _until_something(runtime: Runtime, signals: Signals, service: Service, logs: Logs) -> bool:
    """Wait for a signal or the end of every source, saying `ready` once; True to end, False to reload.

    Raises `FlowrtBug` when a thread has died: whoever supervises this process starts a fresh one.
    """
    announced = False
    while not runtime.finished():
        if signals.happened.wait(IDLE_SECONDS if announced else POLL_SECONDS):
            return signals.end
        runtime.look_for_missing()
        if not announced and runtime.ready():
            announced = True
            print("ready", file=sys.stderr, flush=True)
            service.status("every subscription is acknowledged")
        logs.tick()
        if runtime.broken():
            raise FlowrtBug("a thread of a graph has died; the log says of what. Please report it")
        service.alive()
    return True


def _go_on(signals: Signals, service: Service) -> bool:
    """While a reload takes its time: the watchdog is put off, and an end is not kept waiting."""
    service.alive()
    return not signals.end


@contextlib.contextmanager
def _watch(options: argparse.Namespace, server: _Server, signals: Signals) -> Iterator[None]:
    """Files that change ask for a reload, where that was wanted."""
    if not options.watch:
        yield
        return
    from flowrt.updates.watching import Watching

    with Watching(lambda: server.watched, signals.ask_reload):
        yield


def _watched(files: Sequence[Path], plans: Sequence[Plan]) -> set[Path]:
    nodes = [node for plan in plans for node in plan.nodes.values()]
    modules = {Path(node.module.path) for node in nodes if node.module is not None}
    return {*files, *modules, *(Path(use.facts.path) for node in nodes for use in node.models)}


@contextlib.contextmanager
def _broker(options: argparse.Namespace) -> Iterator[tuple[str, int] | None]:
    """The embedded broker's address, where one was asked for."""
    if options.embedded_broker is None:
        yield None
        return
    from flowrt.demo.broker import EmbeddedBroker

    with EmbeddedBroker(options.embedded_broker) as broker:
        print(f"embedded broker at {broker.address}", file=sys.stderr, flush=True)
        yield broker.host, broker.port
