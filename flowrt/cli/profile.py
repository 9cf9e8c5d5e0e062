"""`flowrt profile`: what nodes use of a recording, and quotas that follow (`suggest.py`); with `--guest`, where one
guest spends its time, as a flame graph of its own functions.

For that the graph runs once over a file's messages, without its endpoints, to learn what reaches the node; then that
is given to a guest of the node's module again and again while its stack is sampled.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from flowrt.cli import loading
from flowrt.cli.suggest import suggest
from flowrt.endpoints.base import EndpointCounters, Sink, Source
from flowrt.endpoints.file_config import FileOptions
from flowrt.endpoints.registry import Refused
from flowrt.errors import NodeFault, StartError
from flowrt.events import NodeFaulted
from flowrt.graph.plan import NodePlan, Plan
from flowrt.message import Batch
from flowrt.operators.base import Emission, Guest, Operator
from flowrt.operators.branch import BranchOperation
from flowrt.operators.filter import FilterOperation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation

DRAIN_SECONDS = 60.0
ROWS_MAX = 100_000
"""Messages kept for the node: enough that one pass takes a while, few enough for a gateway's memory."""
_TOP = 12


def add_arguments(parser: argparse.ArgumentParser) -> None:
    loading.add_arguments(parser)
    parser.add_argument("--guest", metavar="NODE", help="draw this operation's guest instead of suggesting quotas")
    parser.add_argument("--rate", type=float, metavar="N", help="messages a second in service: suggests cpu as well")
    parser.add_argument(
        "--input", required=True, type=Path, metavar="FILE", help="messages for every source, one a line"
    )
    parser.add_argument("--topic", default=None, help="their topic, where a source's is a wildcard")
    parser.add_argument("--seconds", type=float, default=3.0, help="how long to sample (default 3)")
    parser.add_argument(
        "--output",
        type=Path,
        metavar="STEM",
        help="writes STEM.svg, STEM.folded and STEM.json (default: the node's name)",
    )


def run(options: argparse.Namespace) -> int:
    plans, problems = loading.load_all(options)
    if loading.report(problems):
        return 1
    if options.guest is None:
        return suggest(plans, options, lambda *_, **__: _Ends(options.input, options.topic))
    plan, node = _find(plans, options.guest)
    batches = _reaching(plan, node, options.input, options.topic)
    from flowrt.wasm import flames

    profile = _sampled(plan, node, batches, options.seconds)
    weights = flames.stacks(profile)
    stem = options.output or Path(node.name)
    texts = (("svg", flames.svg(weights, node.name)), ("folded", flames.folded(weights)), ("json", profile.decode()))
    for suffix, text in texts:
        stem.with_name(f"{stem.name}.{suffix}").write_text(text, encoding="utf-8")
    for name, share in flames.own_share(weights)[:_TOP]:
        print(f"{100 * share:5.1f} %  {name}")
    if weights and all(name.startswith(flames.NAMELESS) for stack in weights for name in stack):
        print("the module carries no names of functions; build it without stripping them to see more", file=sys.stderr)
    rows, samples = sum(map(len, batches)), sum(weights.values())
    print(f"messages: {rows}; samples: {samples}; written: {stem}.svg, .folded, .json", file=sys.stderr)
    return 0 if samples else 1


def _find(plans: Sequence[Plan], name: str) -> tuple[Plan, NodePlan]:
    """The node with a core module of this name. Raises `StartError`."""
    for plan in plans:
        node = plan.nodes.get(name)
        if node is None:
            continue
        if not isinstance(node.operation, GuestOperation) or node.module is None:
            raise StartError(f"operation '{name}' runs no module")
        if node.module.form != "core":
            raise StartError(f"operation '{name}' runs a {node.module.form}; the engine profiles core modules only")
        if node.nn:
            raise StartError(f"operation '{name}' drives a model itself; its guest cannot run alone")
        return plan, node
    known = ", ".join(node.name for plan in plans for node in plan.nodes.values() if node.module is not None)
    raise StartError(f"no operation is named '{name}'; with a module there is {known or 'none'}")


def _reaching(plan: Plan, node: NodePlan, path: Path, topic: str | None) -> list[Batch]:
    """What reaches the node when the graph is given the file's messages. Raises `StartError`."""
    from flowrt.runtime.runtime import Runtime
    from flowrt.runtime.surroundings import Surroundings

    def emit(event: object) -> None:
        if isinstance(event, NodeFaulted):
            print(f"{event.node}: {event.detail}", file=sys.stderr)

    with TemporaryDirectory() as folder:
        around = Surroundings(emit, Path(folder), open_endpoints=lambda *_, **__: _Ends(path, topic))
        try:
            runtime = Runtime([plan], around)
        except NodeFault as fault:
            raise StartError(str(fault)) from fault
        graph = runtime.graphs[0]
        recorder = graph.nodes[node.name].operator = _Recorder(graph.nodes[node.name].operator)
        runtime.start()
        graph.finished.wait()
        runtime.stop(DRAIN_SECONDS)
    if not recorder.batches:
        raise StartError(f"no message of {path} reaches '{node.name}'")
    return recorder.batches


def _sampled(plan: Plan, node: NodePlan, batches: Sequence[Batch], seconds: float) -> bytes:
    from flowrt.wasm.profile import profiled

    operation = node.operation
    if not isinstance(operation, GuestOperation) or node.module is None:
        raise StartError(f"operation '{node.name}' runs no module")
    guest, profiler = profiled(
        node.module, operation.resources, node.properties, frozenset(operation.grants),
        emit=lambda _: None, graph=plan.name, node=node.name,
    )  # fmt: skip
    try:
        with profiler.sampling():
            until = monotonic() + seconds
            while monotonic() < until:
                for batch in batches:
                    _call(guest, operation, batch)
    except NodeFault as fault:
        print(f"{node.name}: {fault}; the profile ends there", file=sys.stderr)
    profile = profiler.finish()
    guest.close()
    return profile


def _call(guest: Guest, operation: GuestOperation, batch: Batch) -> None:
    match operation:
        case FilterOperation():
            guest.decide("filter", batch)
        case BranchOperation():
            guest.decide("branch", batch)
        case _:
            guest.map(batch)


class _Recorder:
    """An operator that remembers what it was given."""

    def __init__(self, operator: Operator) -> None:
        self.batches: list[Batch] = []
        self._operator = operator
        self._rows = 0
        self.restart, self.memory_bytes, self.close = operator.restart, operator.memory_bytes, operator.close

    def process(self, batch: Batch) -> Emission:
        if self._rows < ROWS_MAX:
            self._rows += len(batch)
            self.batches.append(batch)
        return self._operator.process(batch)


class _Ends:
    """Every source reads the file; what reaches a sink is done with."""

    def __init__(self, path: Path, topic: str | None) -> None:
        self._path = path
        self._topic = topic

    def source(self, operation: SourceOperation) -> Source:
        from flowrt.endpoints.file import FileSource

        topic = self._topic or next((one for one in operation.topics if not set(one) & set("+#")), self._path.name)
        told = operation.model_copy(update={"topics": (topic,)})
        return FileSource(operation.name, FileOptions(path=self._path), told, lambda _: None)

    def sink(self, operation: SinkOperation, on_refused: Refused | None = None) -> Sink:
        del operation, on_refused
        return _Nowhere()


class _Nowhere:
    """See `flowrt.endpoints.base.Sink`."""

    def __init__(self) -> None:
        self.counters = EndpointCounters()

    def start(self) -> None:
        """Always there."""

    def ready(self) -> bool:
        return True

    def broken(self) -> bool:
        return False

    def send(self, batch: Batch) -> None:
        if batch.tracker is not None:
            batch.tracker.settle(batch.seqs)

    def empty(self) -> bool:
        return True

    def flush(self, timeout: float) -> bool:
        del timeout
        return True

    def close(self) -> None:
        """Nothing to give back."""
