"""What each node used of a recording, and the quotas that follow: a patch to the graph's file.

A recording runs as fast as the graph takes it; `--rate` says how many messages a second will come in service.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from flowrt.counters import Histogram
from flowrt.errors import NodeFault, StartError
from flowrt.graph.load import read_graph
from flowrt.graph.patch import difference, with_resources
from flowrt.graph.plan import Plan
from flowrt.quota.quantity import format_bytes, format_cores
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Ends, Surroundings
from flowrt.runtime.view import NodeView
from flowrt.values import Struct, field

LOOK_SECONDS = 0.02
DRAIN_SECONDS = 60.0
HEADROOM_CPU, HEADROOM_MEMORY, HEADROOM_DEADLINE = 2.0, 1.5, 10.0
"""Times what was seen: input in service is not the recording's."""
STEP_CPU, STEP_MEMORY = 0.01, 2**20
LEAST_CPU, LEAST_MEMORY, LEAST_DEADLINE = 0.05, 4 * 2**20, 0.02
"""50m, 4Mi, 20 ms: a restart, one topic more or a machine that is busy for a moment must not meet a bound."""


def suggest(plans: Sequence[Plan], options: argparse.Namespace, open_endpoints: Callable[..., Ends]) -> int:
    """Run graphs on their recording; prints what each node used, and the patch on standard output."""
    seen = _measure(plans, open_endpoints)
    for uses in seen.values():
        for use in uses:
            print(use.sentence(options.rate), file=sys.stderr)
    patches = [_patch(path, seen.get(plan.name, []), options) for path, plan in zip(options.files, plans, strict=True)]
    sys.stdout.write("".join(patches))
    return 0 if any(use.messages for uses in seen.values() for use in uses) else 1


class Use(Struct):
    """What one node used."""

    node: str
    messages: int = 0
    cpu_seconds: float = 0.0
    memory: int = 0
    """Bytes, at the most."""
    longest: float = 0.0
    """Seconds that no batch took longer than, as the histogram knows it."""
    faults: dict[str, int] = field(default_factory=dict)

    def sentence(self, rate: float | None) -> str:
        share = "" if rate is None else f", {self.share(rate) * 1000:.1f}m at {rate:g} messages a second"
        each = self.cpu_seconds / self.messages * 1e6 if self.messages else 0.0
        failed = f", faults: {self.faults}" if self.faults else ""
        return (
            f"{self.node}: {self.messages} messages, {each:.1f} µs of processor each{share}, at most "
            f"{format_bytes(self.memory)}, a batch within {self.longest * 1000:g} ms{failed}"
        )

    def share(self, rate: float) -> float:
        """Cores at so many messages a second."""
        return self.cpu_seconds / self.messages * rate if self.messages else 0.0

    def suggestion(self, rate: float | None) -> dict[str, str]:
        """`resources` with headroom."""
        wanted = {}
        if rate is not None:
            wanted["cpu"] = format_cores(round(_up(max(LEAST_CPU, self.share(rate) * HEADROOM_CPU), STEP_CPU), 2))
        if self.memory:
            wanted["memory"] = format_bytes(int(_up(max(LEAST_MEMORY, self.memory * HEADROOM_MEMORY), STEP_MEMORY)))
        deadline = max(self.longest * HEADROOM_DEADLINE, LEAST_DEADLINE)
        return {**wanted, "deadline": f"{math.ceil(deadline * 1000)}ms"}


def _measure(plans: Sequence[Plan], open_endpoints: Callable[..., Ends]) -> dict[str, list[Use]]:
    """By graph, what its guests and models used until every recording ended."""
    with tempfile.TemporaryDirectory() as state:
        around = Surroundings(lambda _: None, Path(state), open_endpoints=open_endpoints)
        try:
            runtime = Runtime(plans, around)
        except NodeFault as fault:
            raise StartError(str(fault)) from fault
        nodes = [(view.name, node) for view in runtime.views for node in view.nodes if _works(node)]
        seen = {id(node): Use(node.name) for _, node in nodes}
        runtime.start()
        while not runtime.finished():
            time.sleep(LOOK_SECONDS)
            _look(seen, (node for _, node in nodes))
        _look(seen, (node for _, node in nodes))
        runtime.stop(DRAIN_SECONDS)
        found: dict[str, list[Use]] = {}
        for graph, node in nodes:
            use = seen[id(node)]
            counters = node.counters
            use.messages, use.cpu_seconds = counters.received, counters.cpu_seconds
            use.longest, use.faults = _bound(counters.processing), dict(counters.faults)
            found.setdefault(graph, []).append(use)
        return found


def _works(node: NodeView) -> bool:
    return node.kind not in ("source", "sink", "concatenate")


def _look(seen: dict[int, Use], nodes: Iterable[NodeView]) -> None:
    for node in nodes:
        use = seen[id(node)]
        waiting = node.inbox.bytes if node.inbox else 0  # a recording fills inboxes as nothing in service does
        use.memory = max(use.memory, node.memory() - waiting)


def _bound(histogram: Histogram) -> float:
    """The upper bound of the highest step that was reached."""
    reached = [bound for bound, count in zip(histogram.bounds, histogram.counts, strict=False) if count]
    return histogram.bounds[-1] if histogram.counts[-1] else reached[-1] if reached else 0.0


def _up(value: float, step: float) -> float:
    return math.ceil(round(value / step, 6)) * step


def _patch(path: Path, uses: Iterable[Use], options: argparse.Namespace) -> str:
    graph, _ = read_graph(path, sets=dict(options.set), environ={})
    text = path.read_text(encoding="utf-8")
    wanted = {use.node: use.suggestion(options.rate) for use in uses if use.messages}
    return "" if graph is None else difference(text, with_resources(graph, text, wanted), str(path))
