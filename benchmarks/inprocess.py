"""Graphs run in this process between ends that cost next to nothing: an endless source, and a sink that counts."""

from __future__ import annotations

import itertools
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flowrt.cli import loading
from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import EndpointCounters, Stopped
from flowrt.graph.load import load
from flowrt.graph.plan import Plan
from flowrt.message import Batch, Head
from flowrt.problem import has_errors
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings

ROOT = Path(__file__).parents[1]


class Endless:
    """Endpoints whose source delivers the same batch for ever: as fast as it is taken, or `rate` messages a second."""

    def __init__(self, payloads: Sequence[bytes], rate: float | None = None) -> None:
        self.payloads, self.rate = payloads, rate
        self.sources: list[_Source] = []
        self.sinks: dict[str, _Sink] = {}

    def open(self, _graph: str, _options: object, **_: object) -> Endless:
        return self

    def source(self, _operation: object) -> _Source:
        self.sources.append(_Source(self.payloads, self.rate))
        return self.sources[-1]

    def sink(self, operation: Any, _refused: object = None) -> _Sink:
        return self.sinks.setdefault(operation.name, _Sink())


class _Source:
    def __init__(self, payloads: Sequence[bytes], rate: float | None) -> None:
        self.counters = EndpointCounters()
        self.acknowledged = self.sent = 0
        self._payloads, self._rate = payloads, rate
        self._stop = threading.Event()
        self._tracker = Tracker(self._release)
        self._thread: threading.Thread | None = None

    def start(self, deliver: Callable[[Batch], None], _ended: object) -> None:
        self._thread = threading.Thread(target=self._run, args=(deliver,), name="source", daemon=True)
        self._thread.start()

    def ready(self) -> bool:
        return True

    def broken(self) -> bool:
        return False

    def stop(self) -> None:
        self._stop.set()

    def close(self) -> None:
        pass

    def _release(self, count: int) -> None:
        self.acknowledged += count

    def _run(self, deliver: Callable[[Batch], None]) -> None:
        head, count, began = Head("t"), len(self._payloads), time.monotonic()
        for number in itertools.count(1):
            if self._stop.is_set():
                return
            due = began + number * count / self._rate if self._rate else 0.0
            if (early := due - time.monotonic()) > 0:
                time.sleep(early)
            born = due or time.monotonic()  # when it should have come: a late source must not hide a delay
            batch = Batch([head] * count, list(self._payloads), range(count), [born] * count,
                          self._tracker.open(count), self._tracker)  # fmt: skip
            self.sent += count
            try:
                deliver(batch)
            except Stopped:
                return


class _Sink:
    def __init__(self) -> None:
        self.counters = EndpointCounters()
        self.received = 0
        self.delays: list[float] = []

    def start(self) -> None:
        pass

    def ready(self) -> bool:
        return True

    def broken(self) -> bool:
        return False

    def send(self, batch: Batch) -> None:
        self.received += len(batch)
        self.delays.append(time.monotonic() - batch.born[0])
        if batch.tracker is not None:
            batch.tracker.settle(batch.seqs)

    def flush(self, _timeout: float) -> bool:
        return True

    def close(self) -> None:
        pass


def planned(path: Path, text: str, name: str = "graph.yaml") -> Plan:
    (path / name).write_text(text)
    plan, problems = load(
        path / name, sets={}, environ={}, bindings={}, modules_dirs=[ROOT / "modules", path],
        inspect_module=loading._inspect_module, inspect_model=loading._inspect_model, machine=None,
    )  # fmt: skip
    if plan is None or has_errors(problems):
        raise SystemExit("\n".join(map(str, problems)))
    return plan


@contextmanager
def running(path: Path, text: str, ends: Endless) -> Iterator[Runtime]:
    """A graph at work."""
    with tempfile.TemporaryDirectory() as state:
        runtime = Runtime([planned(path, text)], Surroundings(lambda _: None, Path(state), open_endpoints=ends.open))
        runtime.start()
        try:
            yield runtime
        finally:
            runtime.stop(0.5)
