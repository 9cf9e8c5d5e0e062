"""One metric family, and those of endpoints. `flowrt/metrics.py` has the others, and says how they are exposed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Literal

from flowrt.endpoints.base import EndpointCounters
from flowrt.events import DROPS
from flowrt.runtime.view import GraphView
from flowrt.values import Struct

Graphs = Sequence[GraphView]
Labels = tuple[str, ...]
Sample = tuple[Labels, Any]
"""Label values, and a number or a `Histogram`."""
Read = Callable[[Graphs], Iterable[Sample]]


class Family(Struct, frozen=True):
    """One metric family. A counter's samples carry `_total` behind the name, which prometheus_client adds."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: Labels
    help: str
    """What it is, in one sentence."""
    reading: str
    """How to read it: a query or what a value means."""
    read: Read

    @property
    def sample_name(self) -> str:
        """The name as it stands in a query; a histogram's has `_bucket`, `_sum` or `_count` behind it."""
        return self.name + ("_total" if self.kind == "counter" else "")


def _endpoints(value: Callable[[EndpointCounters], float], total: Callable[[Iterable[float]], float] = sum) -> Read:
    """One sample an endpoint, of all its connections together."""

    def read(graphs: Graphs) -> Iterator[Sample]:
        for graph in graphs:
            for name, connections in _connections(graph).items():
                yield (graph.name, name), total(map(value, connections))

    return read


def _endpoint_drops(graphs: Graphs) -> Iterator[Sample]:
    for graph in graphs:
        for name, connections in _connections(graph).items():
            for reason in DROPS:
                yield (graph.name, name, reason), sum(counters.dropped.get(reason, 0) for counters in connections)


def _connections(graph: GraphView) -> dict[str, list[EndpointCounters]]:
    """The counters of each endpoint, each once however many operations share them."""
    found: dict[str, list[EndpointCounters]] = {}
    for endpoint in graph.endpoints:
        counters = found.setdefault(endpoint.name, [])
        if not any(endpoint.counters is known for known in counters):
            counters.append(endpoint.counters)
    return found


ENDPOINT = ("graph", "endpoint")

ENDPOINT_FAMILIES = (
    Family(
        "flowrt_endpoint_connected", "gauge", ENDPOINT,
        "Whether all connections of the endpoint stand (1) or not (0).",
        "Alert when it is 0 for longer than a broker's restart takes.",
        _endpoints(lambda counters: counters.connected, min),
    ),
    Family(
        "flowrt_endpoint_connects", "counter", ENDPOINT,
        "Connections made, the first included.",
        "Growth is an unstable network, or two clients that share a client id and throw each other out.",
        _endpoints(lambda counters: counters.connects),
    ),
    Family(
        "flowrt_endpoint_silent_connections", "counter", ENDPOINT,
        "Connections that were given up because the other side owed an answer and said nothing for `answerTimeout`.",
        "Growth is a link that breaks without a word (a firewall, a modem), or a broker that hangs.",
        _endpoints(lambda counters: counters.silent),
    ),
    Family(
        "flowrt_endpoint_received_messages", "counter", ENDPOINT,
        "Messages read from the endpoint.",
        "`rate(…[1m])`.",
        _endpoints(lambda counters: counters.messages_in),
    ),
    Family(
        "flowrt_endpoint_sent_messages", "counter", ENDPOINT,
        "Messages written to the endpoint.",
        "`rate(…[1m])`; messages sent again after a reconnect count again.",
        _endpoints(lambda counters: counters.messages_out),
    ),
    Family(
        "flowrt_endpoint_received_bytes", "counter", ENDPOINT,
        "Bytes read from the endpoint.",
        "`rate(…[1m])`.",
        _endpoints(lambda counters: counters.bytes_in),
    ),
    Family(
        "flowrt_endpoint_sent_bytes", "counter", ENDPOINT,
        "Bytes written to the endpoint.",
        "`rate(…[1m])`.",
        _endpoints(lambda counters: counters.bytes_out),
    ),
    Family(
        "flowrt_endpoint_refused_messages", "counter", ENDPOINT,
        "Messages the other side refused for good.",
        "Usually a missing permission for the topic; the log names the broker's reason.",
        _endpoints(lambda counters: counters.refused),
    ),
    Family(
        "flowrt_endpoint_dropped_messages", "counter", (*ENDPOINT, "reason"),
        "Messages that ended at the endpoint, by reason.",
        "Alert on any increase.",
        _endpoint_drops,
    ),
    Family(
        "flowrt_endpoint_unguarded_messages", "counter", ENDPOINT,
        "Messages read at QoS 0: nobody sends them again when flowrt or the gateway stops in the middle.",
        "More than nothing on a source that must lose none: subscribe with QoS 1, and have publishers publish with it.",
        _endpoints(lambda counters: counters.unguarded),
    ),
    Family(
        "flowrt_endpoint_spooled_messages", "counter", ENDPOINT,
        "Messages that sinks wrote to disk, because the other side was away or slow.",
        "`rate(…[5m])` above nothing: the other side does not keep up, or is away.",
        _endpoints(lambda counters: counters.spooled),
    ),
    Family(
        "flowrt_endpoint_drained_messages", "counter", ENDPOINT,
        "Messages that sinks sent from disk.",
        "`rate(…[1m])` is how fast a spool is sent; see `spool.drainRate`.",
        _endpoints(lambda counters: counters.drained),
    ),
    Family(
        "flowrt_endpoint_spool_messages", "gauge", ENDPOINT,
        "Messages on disk that are not out.",
        "Bounded by `spool.messages`; `flowrt spool list` tells it by sink.",
        _endpoints(lambda counters: counters.spool_messages),
    ),
    Family(
        "flowrt_endpoint_spool_bytes", "gauge", ENDPOINT,
        "What those messages take on disk.",
        "Bounded by `spool.bytes`: when it is reached, the oldest are dropped unless `spool.whenFull` says otherwise.",
        _endpoints(lambda counters: counters.spool_bytes),
    ),
    Family(
        "flowrt_endpoint_spool_age_seconds", "gauge", ENDPOINT,
        "How long the oldest of them has waited.",
        "Alert when it is longer than the outage that the spool is sized for.",
        _endpoints(lambda counters: counters.spool_age, max),
    ),
    Family(
        "flowrt_endpoint_breaker_opens", "counter", ENDPOINT,
        "How often a sink stopped sending for a while, because its messages were turned away.",
        "An increase: the broker has a quota that is too small for what is sent, or is overloaded.",
        _endpoints(lambda counters: counters.breaker_opens),
    ),
)  # fmt: skip
"""In the order they are exposed."""
