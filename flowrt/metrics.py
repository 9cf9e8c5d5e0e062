"""Metrics, declared in one table: what is measured, how to read it, and where the figure stands.

Nothing here runs while messages pass. When Prometheus asks, a collector of our own reads the counters that the runtime
keeps anyway. `docs/metrics.md` is made from the same table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from flowrt import __version__
from flowrt.counters import REGISTRY, Histogram
from flowrt.errors import StartError
from flowrt.events import DROPS, FAULTS
from flowrt.families import ENDPOINT_FAMILIES, Family, Graphs, Read, Sample
from flowrt.runtime.view import ModelView, NodeView
from flowrt.updates.families import UPDATE_FAMILIES


def _nodes(value: Callable[[NodeView], float | Histogram | None], kinds: Sequence[str] = ()) -> Read:
    """One sample a node; None where it does not apply, `kinds` where it applies to some operation types only."""

    def read(graphs: Graphs) -> Iterator[Sample]:
        for graph in graphs:
            for node in graph.nodes:
                found = value(node) if not kinds or node.kind in kinds else None
                if found is not None:
                    yield (graph.name, node.name), found

    return read


def _reasons(counts: Callable[[NodeView], Mapping[str, int]], known: Iterable[str]) -> Read:
    """One sample a node and member of a closed list, zero included: an increase from nothing must be seen as one."""
    members = tuple(known)

    def read(graphs: Graphs) -> Iterator[Sample]:
        for graph in graphs:
            for node in graph.nodes:
                found = counts(node)
                for member in members:
                    yield (graph.name, node.name, member), found.get(member, 0)

    return read


def _refused_calls(graphs: Graphs) -> Iterator[Sample]:
    for graph in graphs:
        for node in graph.nodes:
            for code, count in list(node.counters.nn_refused.items()):
                yield (graph.name, node.name, code), count


def _denied_calls(graphs: Graphs) -> Iterator[Sample]:
    for graph in graphs:
        for node in graph.nodes:
            for call, count in list(node.counters.denied.items()):
                yield (graph.name, node.name, call), count


def _bounds(graphs: Graphs) -> Iterator[Sample]:
    for graph in graphs:
        for node in graph.nodes:
            for bound, value in node.bounds.items():
                yield (graph.name, node.name, bound), value


def _fallbacks(graphs: Graphs) -> Iterator[Sample]:
    for graph in graphs:
        for model in graph.models:
            for reason in ("engine", "memory", "time"):
                yield (graph.name, model.node, model.model, reason), model.counters.fallbacks.get(reason, 0)


def _models(value: Callable[[ModelView], Histogram]) -> Read:
    def read(graphs: Graphs) -> Iterator[Sample]:
        for graph in graphs:
            for model in graph.models:
                yield (graph.name, model.node, model.model), value(model)

    return read


def _dropped(node: NodeView) -> Mapping[str, int]:
    return {**node.counters.dropped, "filtered": node.counters.filtered}


NODE = ("graph", "node")
MODEL = ("graph", "node", "model")
WORKERS = ("map", "filter", "branch", "concatenate", "accumulate", "delay", "inference", "transform", "sink")
"""Operation types that work on messages; a source works for its endpoint."""
GUESTS = ("map", "filter", "branch", "accumulate", "delay")
"""Operation types with a module."""
KEEPING = ("delay", "accumulate", "transform")
"""Operation types that keep time."""

FAMILIES = (
    Family(
        "flowrt_build_info", "gauge", ("version",),
        "The running version of flowrt; always 1.",
        "`count by (version) (flowrt_build_info)` over a fleet says who runs what.",
        lambda _: [((__version__,), 1)],
    ),
    Family(
        "flowrt_graph_info", "gauge", ("graph", "version"),
        "A graph of this process and its version; always 1.",
        "Join it to other metrics with `* on (graph) group_left (version)`.",
        lambda graphs: [((graph.name, graph.version), 1) for graph in graphs],
    ),
    Family(
        "flowrt_graph_ready", "gauge", ("graph",),
        "Whether every subscription is acknowledged and every sink connected (1) or not (0).",
        "Alert when it is 0 for longer than a broker's restart takes.",
        lambda graphs: [((graph.name,), int(graph.ready())) for graph in graphs],
    ),
    Family(
        "flowrt_graph_failed_starts", "counter", ("graph",),
        "How often a graph did not come up while others of the same process ran.",
        "An increase: the log says why: a component with functions of other types, an init that does not end.",
        lambda graphs: [((graph.name,), graph.failed_starts) for graph in graphs],
    ),
    Family(
        "flowrt_node_received_messages", "counter", NODE,
        "Messages that reached the node.",
        "`rate(…[1m])` is its load; a source's is what comes from the endpoint.",
        _nodes(lambda node: node.counters.received),
    ),
    Family(
        "flowrt_node_emitted_messages", "counter", NODE,
        "Messages the node handed on, once however many nodes follow; a sink's: given to its endpoint.",
        "Less than received: see dropped and faulted. More: a guest makes several of one.",
        _nodes(lambda node: node.counters.emitted + node.counters.sent),
    ),
    Family(
        "flowrt_node_dropped_messages", "counter", (*NODE, "reason"),
        "Messages that ended at the node without a dead letter, by reason.",
        '`filtered` is intended; alert on the rest: `increase(…{reason!="filtered"}[10m]) > 0`.',
        _reasons(_dropped, DROPS),
    ),
    Family(
        "flowrt_node_faulted_messages", "counter", (*NODE, "kind"),
        "Messages the node failed on, by kind of fault.",
        "An increase means a bad message, a bad module or too small a quota; the log has the details.",
        _reasons(lambda node: node.counters.faults, FAULTS),
    ),
    Family(
        "flowrt_node_dead_lettered_messages", "counter", NODE,
        "Messages kept in the dead-letter store.",
        "`flowrt dead list` shows them.",
        _nodes(lambda node: node.counters.dead_lettered),
    ),
    Family(
        "flowrt_node_retried_messages", "counter", NODE,
        "Messages tried again under `onError: {policy: retry}`, once for each time.",
        "Steady growth: what should pass at the second attempt does not.",
        _nodes(lambda node: node.counters.retries),
    ),
    Family(
        "flowrt_node_nn_refused_calls", "counter", (*NODE, "code"),
        "Calls of wasi-nn that the node's guest got an error for, by the error's name; a series begins with its first.",
        "The log says which model and tensor, what was expected and what came.",
        _refused_calls,
    ),
    Family(
        "flowrt_node_denied_calls", "counter", (*NODE, "call"),
        "Calls of WASI that the node's guest made without a grant, by their names; a series begins with its first.",
        "What it would need beyond its `grants`. Look at sockets first: languages' runtimes ask for the others.",
        _denied_calls,
    ),
    Family(
        "flowrt_node_left_out_log_lines", "counter", NODE,
        "Log lines of the node's guest over its `logLines`.",
        "An increase: the log misses what it says; mend the module, or raise the bound.",
        _nodes(lambda node: node.counters.lines_left_out, kinds=GUESTS),
    ),
    Family(
        "flowrt_node_cut_log_lines", "counter", NODE,
        "Log lines of the node's guest that were longer than 8 KiB and have lost their ends.",
        "An increase: the module logs whole payloads, or means harm.",
        _nodes(lambda node: node.counters.lines_cut, kinds=GUESTS),
    ),
    Family(
        "flowrt_node_refused_state_calls", "counter", NODE,
        "Calls of the state store that the node's guest got an error for: too large a key or value, too old a token.",
        "An increase: the module keeps more than the store takes, or another holds the lock.",
        _nodes(lambda node: node.counters.state_refused, kinds=GUESTS),
    ),
    Family(
        "flowrt_node_refused_metric_values", "counter", NODE,
        "Values of its own metrics that a guest counted in vain: too many series, or a name or label that cannot be.",
        "An increase: the module makes a series of something that has no end, or `metricSeries` is too small.",
        _nodes(lambda node: node.counters.own.refused, kinds=GUESTS),
    ),
    Family(
        "flowrt_node_limit", "gauge", (*NODE, "bound"),
        "The node's other bounds, by the name of their option: messages, bytes, seconds, or so many a second.",
        "What is used of them: the waiting messages and bytes, the rates, faults of kind deadline, fuel, size.",
        _bounds,
    ),
    Family(
        "flowrt_node_restarts", "counter", NODE,
        "Fresh instances put in the place of guests that trapped.",
        "More than a few an hour: the module has a fault that its input brings out.",
        _nodes(lambda node: node.counters.restarts),
    ),
    Family(
        "flowrt_node_given_up_calls", "counter", NODE,
        "Calls that slept with the host beyond their deadline, where nobody can end them: a fresh instance took over.",
        "More than none: the module waits for what does not come; `isolation: process` ends such calls.",
        _nodes(lambda node: node.counters.given_up, GUESTS),
    ),
    Family(
        "flowrt_node_late_messages", "counter", NODE,
        "Messages that came after their logical time had passed; what became of them, `late` says (time.md).",
        "A rate: a sender's clock is behind, or messages were under way for long; give the source a `lateness`.",
        _nodes(lambda node: node.counters.late, ("source", *KEEPING)),
    ),
    Family(
        "flowrt_node_drifted_messages", "counter", NODE,
        "Messages whose sender's clock is more than 60 s ahead: modules do not see it, and it moves no window.",
        "More than none: correct the sender's clock, or the gateway's.",
        _nodes(lambda node: node.counters.drifted, ("source", *GUESTS)),
    ),
    Family(
        "flowrt_node_open_windows", "gauge", NODE,
        "Windows that are open.",
        "One that rises for ever: times are put off further than anything comes.",
        _nodes(lambda node: node.counters.windows, KEEPING),
    ),
    Family(
        "flowrt_node_checkpoints", "counter", NODE,
        "How often what a node keeps was written to disk.",
        "At most four a second while little comes; more when many messages wait for it.",
        _nodes(lambda node: node.counters.checkpoints, KEEPING),
    ),
    Family(
        "flowrt_node_checkpoint_seconds", "counter", NODE,
        "Time spent in writing what a node keeps.",
        "Divided by flowrt_node_checkpoints_total it is what the disk takes to make a write durable.",
        _nodes(lambda node: node.counters.checkpoint_seconds, KEEPING),
    ),
    Family(
        "flowrt_node_checkpoint_bytes", "counter", NODE,
        "Bytes of messages and results written to disk, before what the file adds.",
        "A rate, to be held against what the flash endures.",
        _nodes(lambda node: node.counters.checkpoint_bytes, KEEPING),
    ),
    Family(
        "flowrt_node_repeated_messages", "counter", NODE,
        "Messages that a broker sent again although they were kept already; they do not count twice.",
        "Rises when a connection or the process ended with acknowledgements under way.",
        _nodes(lambda node: node.counters.repeated, KEEPING),
    ),
    Family(
        "flowrt_node_set_aside_entries", "counter", NODE,
        "Entries of checkpoints that did not fit the node or were damaged.",
        "More than none: the operation was changed, or the disk is failing; the log names what and where.",
        _nodes(lambda node: node.counters.set_aside, KEEPING),
    ),
    Family(
        "flowrt_node_processing_seconds", "histogram", NODE,
        "Time a batch took in the node, restarts and retries included, the nodes behind it not.",
        "`rate(…_sum[1m])` near 1: the node is the bottleneck. `rate(received) / rate(…_count)` is the batch size.",
        _nodes(lambda node: node.counters.processing if node.kind != "source" else None),
    ),
    Family(
        "flowrt_node_cpu_seconds", "counter", NODE,
        "Processor time of the node's own thread while in the node.",
        "`rate(…[1m])` is its share of a core, to compare with its `cpu` quota.",
        _nodes(lambda node: node.counters.cpu_seconds if node.kind != "source" else None),
    ),
    Family(
        "flowrt_node_cpu_limit_cores", "gauge", NODE,
        "The node's `cpu` quota; absent where none is declared.",
        "`250m` is 0.25.",
        _nodes(lambda node: node.cpu_limit),
    ),
    Family(
        "flowrt_node_cpu_throttled_seconds", "counter", NODE,
        "Time the node waited because it was over its `cpu` quota, or its graph or the runtime over their budget.",
        "Growing together with waiting messages: the quota is too small for the load.",
        _nodes(lambda node: node.counters.throttled_seconds, kinds=WORKERS),
    ),
    Family(
        "flowrt_node_rate_throttled_seconds", "counter", NODE,
        "Time the node waited because it was over its `messageRate` or `byteRate`.",
        "Growing: more arrives than the rate lets through.",
        _nodes(lambda node: node.counters.rate_throttled_seconds),
    ),
    Family(
        "flowrt_node_rated_bytes", "counter", NODE,
        "Payload bytes that entered the node; counted only where its `byteRate` bounds them.",
        '`rate(…[1m])` is its use, to compare with `flowrt_node_limit{bound="byteRate"}`.',
        _nodes(lambda node: node.counters.rated_bytes if "byteRate" in node.bounds else None),
    ),
    Family(
        "flowrt_node_bypassed_messages", "counter", NODE,
        "Messages that passed on unchanged: over a limit with `atLimit: bypass`, or failed on with `atFault: bypass`.",
        "An increase: what follows gets messages that this node has not seen to.",
        _nodes(lambda node: node.counters.bypassed),
    ),
    Family(
        "flowrt_node_disabled", "gauge", NODE,
        "Whether the node is switched off by `resources.disable` (1) or not (0).",
        "Alert on 1: its messages become dead letters, are dropped or pass unchanged.",
        _nodes(lambda node: int(node.counters.disabled)),
    ),
    Family(
        "flowrt_node_disables", "counter", NODE,
        "How often the node was switched off.",
        "An increase means the module, its input or its quotas need a look.",
        _nodes(lambda node: node.counters.disables),
    ),
    Family(
        "flowrt_node_memory_bytes", "gauge", NODE,
        "Memory held for the node: a guest's linear memory and tables, its tensors, what waits in its inbox; a model.",
        "Compare with the limit; one that only grows will meet it.",
        _nodes(lambda node: node.memory()),
    ),
    Family(
        "flowrt_node_memory_limit_bytes", "gauge", NODE,
        "The node's `memory` quota, or its default.",
        "A guest that asks for more is refused and counted as a fault of kind `memory`.",
        _nodes(lambda node: node.memory_limit if node.kind not in ("source", "sink") else None),
    ),
    Family(
        "flowrt_node_waiting_messages", "gauge", NODE,
        "Messages in the inbox before the node; absent for nodes that share the stage of the one before them.",
        "At `resources.inbox` for long: this node, or what follows it, is slower than the source.",
        _nodes(lambda node: node.inbox.messages if node.inbox else None),
    ),
    Family(
        "flowrt_node_waiting_bytes", "gauge", NODE,
        "Payload bytes in the inbox before the node.",
        "Bounded by `resources.inboxMemory`.",
        _nodes(lambda node: node.inbox.bytes if node.inbox else None),
    ),
    Family(
        "flowrt_sink_latency_seconds", "histogram", NODE,
        "Time from a message's arrival at its source to its handing over to the sink's endpoint.",
        "`histogram_quantile(0.99, rate(…_bucket[5m]))` is the end-to-end latency that 99 % stay under.",
        _nodes(lambda node: node.counters.latency, kinds=("sink",)),
    ),
    *ENDPOINT_FAMILIES,
    *UPDATE_FAMILIES,
    Family(
        "flowrt_model_inference_seconds", "histogram", MODEL,
        "Time of each run of a model the graph names, whatever its batch; guests that drive one themselves included.",
        "`rate(…_sum[1m])` is the share of time the model runs.",
        _models(lambda model: model.counters.inference),
    ),
    Family(
        "flowrt_model_batch_messages", "histogram", MODEL,
        "Messages in each run of an `inference` operation's model; a guest that drives a model itself has none here.",
        "Always 1 under load: the model's first dimension is fixed, or `batch.max` is 1.",
        _models(lambda model: model.counters.rows),
    ),
    Family(
        "flowrt_model_fallbacks", "counter", (*MODEL, "reason"),
        "Messages that a model's declared fallback took: this machine lacked the engine, the memory or the time.",
        "Any rise is worth a look: the log says why, with `does not run here` or `a run took`.",
        _fallbacks,
    ),
    Family(
        "flowrt_model_registry", "counter", ("event",),
        "What became of the models that all nodes share: `load`, `shared` (it was there already), `evicted`.",
        "`evicted` rising with `load`: guests bring more models in turn than the eight that stay loaded unused.",
        lambda _: REGISTRY.samples(),
    ),
)  # fmt: skip
"""Every family of flowrt, in the order they are exposed."""

PROCESS = {
    "process_cpu_seconds_total": "Processor time of the whole process.",
    "process_resident_memory_bytes": "Resident memory.",
    "process_virtual_memory_bytes": "Address space; large, as each guest reserves some without using it.",
    "process_start_time_seconds": "When the process started, since the epoch.",
    "process_open_fds": "Open file descriptors.",
    "process_max_fds": "The most there may be.",
}
"""What prometheus_client tells of the process itself."""


class Metrics(Collector):
    """Reads the counters of running graphs when asked; safe from any thread."""

    def __init__(self, graphs: Callable[[], Graphs]) -> None:
        """`graphs` is asked at each scrape, so that graphs may come and go."""
        self._graphs = graphs
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def collect(self) -> Iterator[Metric]:
        graphs = self._graphs()
        for family in FAMILIES:
            yield _metric(family, family.read(graphs))
        yield from _own(graphs)

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """The text and its content type, in the format an `Accept` header asks for."""
        if "application/openmetrics-text" in accept:
            text: bytes = openmetrics.generate_latest(self._registry)  # type: ignore[no-untyped-call]
            return text, openmetrics.CONTENT_TYPE_LATEST
        return generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4


def parsed(page: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample of a page by name and sorted labels. Raises `StartError` when it is no page of metrics."""
    try:
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(page)
            for sample in family.samples
        }
    except (ValueError, IndexError, KeyError) as error:
        raise StartError("what was answered is no page of metrics") from error


def _metric(family: Family, samples: Iterable[Sample]) -> Metric:
    if family.kind == "histogram":
        histogram = HistogramMetricFamily(family.name, family.help, labels=family.labels)
        for labels, value in samples:
            histogram.add_metric(labels, *_buckets(value))
        return histogram
    make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
    metric = make(family.name, family.help, labels=family.labels)
    for labels, value in samples:
        metric.add_metric(labels, value)
    return metric


def _own(graphs: Graphs) -> Iterator[Metric]:
    """What guests count, under their own names. Of a name that is a counter at one node and a histogram at another, the
    first one's kind is told."""
    found: dict[str, Metric] = {}
    for graph in graphs:
        for node in graph.nodes:
            place = {"graph": graph.name, "node": node.name}
            for (name, own), value in list(node.counters.own.series.items()):
                kind = "histogram" if isinstance(value, Histogram) else "counter"
                metric = found.setdefault(name, Metric(name, f"A guest's own {kind}.", kind))
                if metric.type == kind:
                    _add(metric, {**place, **dict(own)}, value)
    return iter(found.values())


def _add(metric: Metric, labels: dict[str, str], value: int | Histogram) -> None:
    if not isinstance(value, Histogram):
        metric.add_sample(f"{metric.name}_total", labels, value)
        return
    buckets, total = _buckets(value)
    for bound, count in buckets:
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": bound}, count)
    metric.add_sample(f"{metric.name}_count", labels, buckets[-1][1])
    metric.add_sample(f"{metric.name}_sum", labels, total)


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """Cumulative counts by upper bound, and the sum. The counts are copied first: they change meanwhile."""
    bounds = (*map(floatToGoString, histogram.bounds), "+Inf")
    return list(zip(bounds, accumulate(histogram.counts.copy()), strict=True)), histogram.sum
