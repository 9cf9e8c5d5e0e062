"""The life of one worker of `flowrt run --workers N`: started by the supervising process, ended by it too."""

from __future__ import annotations

import argparse
import gc
import pickle
import signal
import socket
import threading
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flowrt.cli import loading
from flowrt.errors import NodeFault, StartError
from flowrt.graph.plan import Plan
from flowrt.logs import Logs
from flowrt.operators.source import SourceOperation
from flowrt.runtime.places import state_folder
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.workers.crew import ASK, BEGUN, FIGURES, READY, SIZE
from flowrt.workers.feed import FeedReader, WorkerEnds, source_keys
from flowrt.workers.figures import figures

POLL_SECONDS = 0.01
IDLE_SECONDS = 0.5
BROKEN = 4
"""Exit status when a thread has ended unasked: another process takes the place."""


def work(plans: Sequence[Plan], options: argparse.Namespace) -> int:
    """Run until nothing more is dealt. Raises `StartError`."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # meant for the supervising process, which drains this one
    place, messages, words = options.as_worker
    logs = Logs(level=options.log_level, form=options.log_format)
    logs.take_over()
    reader = FeedReader(socket.socket(fileno=messages), source_keys(plans))
    around = Surroundings(
        logs.emit,
        state_folder(options.state),
        interpreter=options.interpreter,
        budget=loading.budget(options),
        replays=place == 0,
        open_endpoints=partial(_ends, reader, place, {plan.name: plan for plan in plans}),
    )
    try:
        runtime = Runtime(plans, around)
    except NodeFault as fault:
        raise StartError(str(fault)) from fault
    gc.freeze()
    gc.enable()
    spoken = socket.socket(fileno=words)
    spoken.send(BEGUN)
    runtime.start()
    ready = threading.Event()
    threading.Thread(target=_answer, args=(spoken, runtime, ready), name="flowrt/words", daemon=True).start()
    broken = _until_finished(runtime, ready, spoken, logs)
    if not broken:
        runtime.stop(options.drain)
    logs.close()
    return BROKEN if broken else 0


def _until_finished(runtime: Runtime, ready: threading.Event, words: socket.socket, logs: Logs) -> bool:
    """Whether a thread ended that should not have."""
    finished = threading.Event()
    threading.Thread(target=_await, args=(runtime, finished), name="flowrt/end", daemon=True).start()
    while not finished.wait(IDLE_SECONDS if ready.is_set() else POLL_SECONDS):
        if not ready.is_set() and runtime.ready():
            ready.set()
            words.send(READY)
        logs.tick()
        if runtime.broken():
            return True
    return False


def _await(runtime: Runtime, finished: threading.Event) -> None:
    for graph in runtime.graphs:
        graph.finished.wait()
    finished.set()


def _answer(words: socket.socket, runtime: Runtime, ready: threading.Event) -> None:
    """Tell the supervising process what it asks for."""
    ready.wait()
    while words.recv(1) == ASK:
        text = pickle.dumps(figures(runtime))
        words.sendall(FIGURES + SIZE.pack(len(text)) + text)


def _ends(
    reader: FeedReader, number: int, plans: dict[str, Plan], graph: str, endpoints: Any, *, emit: Callable[[Any], None],
    broker: object, state: Path,
) -> WorkerEnds:  # fmt: skip
    del broker  # workers have none of their own
    operations = [node.operation for node in plans[graph].nodes.values()]
    sources = frozenset(one.endpoint or "" for one in operations if isinstance(one, SourceOperation))
    return WorkerEnds(reader, number, graph, endpoints, sources, emit=emit, state=state)
