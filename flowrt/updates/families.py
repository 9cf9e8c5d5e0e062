"""The metrics of updates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from flowrt.counters import COMMANDS, LOOKS, STORE, UPDATE_ENDS, UPDATE_REASONS, UpdateCounters
from flowrt.families import Family, Graphs, Read, Sample


def _updates(counts: Callable[[UpdateCounters], Mapping[str, int]], known: Sequence[str]) -> Read:
    """One sample a graph and member of a closed list, zero included."""

    def read(graphs: Graphs) -> Iterator[Sample]:
        for graph in graphs:
            for member in known:
                yield (graph.name, member), counts(graph.updates).get(member, 0)

    return read


UPDATE_FAMILIES = (
    Family(
        "flowrt_updates", "counter", ("graph", "outcome"),
        "Updates of the running graph, by how they ended.",
        '`increase(…{outcome="rolledBack"}[1h]) > 0`: a new version was worse; `flowrt history` says why.',
        _updates(lambda updates: updates.ended, UPDATE_ENDS),
    ),
    Family(
        "flowrt_update_failures", "counter", ("graph", "reason"),
        "Updates that were refused or rolled back, by what was wrong.",
        "`traps`, `faults`, `latency`, `memory` and `drift` are the new version's; the log has the details.",
        _updates(lambda updates: updates.reasons, UPDATE_REASONS),
    ),
    Family(
        "flowrt_update_under_way", "gauge", ("graph",),
        "Whether an update is being tried (1) or not (0).",
        "1 for longer than the probation: too few messages come to prove the new version.",
        lambda graphs: [((graph.name,), graph.updates.under_way) for graph in graphs],
    ),
    Family(
        "flowrt_update_pause_seconds", "histogram", ("graph",),
        "Time for which messages stood still while nodes were exchanged.",
        "Above 1 ms: more than one stage had to come to rest.",
        lambda graphs: [((graph.name,), graph.updates.pause) for graph in graphs],
    ),
    Family(
        "flowrt_update_commands", "counter", ("graph", "outcome"),
        "Commands that came by MQTT, by what became of them.",
        "Anything but `taken` is a mistake or an attack; the log names the key.",
        _updates(lambda updates: updates.commands, COMMANDS),
    ),
    Family(
        "flowrt_update_looks", "counter", ("graph", "outcome"),
        "Looks for new versions behind followed tags and addresses, by what was found.",
        "`failed` all the time: the registry cannot be reached.",
        _updates(lambda updates: updates.looks, LOOKS),
    ),
    Family(
        "flowrt_store_bytes", "gauge", ("kind",),
        "Disk that artifacts (`store`) and compiled code (`code`) take, what of both never gives way (`needed`), and "
        "what they may take (`budget`).",
        "`needed` close to `budget`: nothing new will be taken; see `--disk`.",
        lambda _: STORE.samples(),
    ),
    Family(
        "flowrt_store_evictions", "counter", (),
        "Artifacts and files of compiled code that gave way to newer ones.",
        "Many: what is followed or pulled does not fit into the budget.",
        lambda _: [((), STORE.evicted)],
    ),
)  # fmt: skip
