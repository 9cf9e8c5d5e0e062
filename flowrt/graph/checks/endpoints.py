"""Where messages come from and go to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowrt.endpoints.registry import ENDPOINTS
from flowrt.endpoints.template import parse
from flowrt.endpoints.topics import filter_fault, unshared
from flowrt.graph.graph import Graph
from flowrt.graph.model import EndpointEntry
from flowrt.graph.topics import as_filter, can_meet
from flowrt.operators.base import Operation
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.problem import Problem, nearest

MQTT = "mqtt"
Known = Mapping[str, EndpointEntry]


def check(graph: Graph) -> Iterator[Problem]:
    """Endpoints of one kind each, operations that name one, topics that are valid and form no loop."""
    for index, endpoint in enumerate(graph.file.endpoints):
        if len(endpoint.kinds) > 1 or (not endpoint.kinds and not graph.repaired):
            found = " and ".join(endpoint.kinds) or "none"
            message = (
                f"an endpoint has exactly one kind beside its name, and this has {found}; kinds are "
                f"{', '.join(ENDPOINTS)}"
            )
            yield graph.problem(("endpoints", index), "endpoint-kind", message)
    known = {endpoint.name: endpoint for endpoint in graph.file.endpoints}
    for index, operation in enumerate(graph.file.operations):
        if isinstance(operation, SourceOperation | SinkOperation):
            yield from _named(graph, ("operations", index, "endpoint"), operation.endpoint, known)
        if isinstance(operation, SourceOperation):
            yield from _source(graph, index, operation, known)
        elif isinstance(operation, SinkOperation) and _is_mqtt(operation.endpoint, known, unknown=True):
            yield from _sink(graph, index, operation)
        yield from _on_error(graph, index, operation, known)
    yield from _loops(graph, known)


def unbound(graph: Graph) -> Iterator[Problem]:
    """Sources and sinks without an endpoint: sound in a definition, not in a graph that is to run."""
    for index, operation in enumerate(graph.file.operations):
        if isinstance(operation, SourceOperation | SinkOperation) and operation.endpoint is None:
            message = f"it has no endpoint; give it one, or --bind {operation.name}=mqtt://HOST/TOPIC"
            yield graph.problem(("operations", index), "unbound", message)


def _named(graph: Graph, loc: tuple[str | int, ...], name: str | None, known: Known) -> Iterator[Problem]:
    if name is not None and name not in known and not graph.made_up(name):
        remedy = nearest(name, known) or (f"; known are {', '.join(known)}" if known else "; add it to `endpoints`")
        yield graph.problem(loc, "unknown-endpoint", f"there is no endpoint '{name}'{remedy}")


def _is_mqtt(name: str | None, known: Known, *, unknown: bool) -> bool:
    """Whether the endpoint is a broker; `unknown` where that cannot be told."""
    return unknown if name is None or name not in known else known[name].kinds == [MQTT]


def _source(graph: Graph, index: int, source: SourceOperation, known: Known) -> Iterator[Problem]:
    if not _is_mqtt(source.endpoint, known, unknown=bool(source.topics)):
        return
    if not source.topics and not graph.repaired:
        message = 'it reads from an MQTT broker and names no topics; add topics: ["plant/+/pump"]'
        yield graph.problem(("operations", index), "missing-topic", message)
    for position, topic in enumerate(source.topics):
        if fault := filter_fault(topic):
            message = f"topic filter '{topic}' cannot be subscribed to: {fault}"
            yield graph.problem(("operations", index, "topics", position), "bad-topic", message)


def _sink(graph: Graph, index: int, sink: SinkOperation) -> Iterator[Problem]:
    if fault := _template_fault(sink.topic):
        code = "bad-template" if "{" in sink.topic or "}" in sink.topic else "bad-topic"
        message = f"topic '{sink.topic}' cannot be published to: {fault}"
        yield graph.problem(("operations", index, "topic"), code, message)


def _template_fault(text: str) -> str | None:
    """Why a template makes no topic, or None."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None


def _on_error(graph: Graph, index: int, operation: Operation, known: Known) -> Iterator[Problem]:
    on_error = operation.on_error
    loc = ("operations", index, "onError")
    yield from _named(graph, (*loc, "endpoint"), on_error.endpoint, known)
    if on_error.topic is None:
        return
    if fault := _template_fault(on_error.topic):
        message = f"onError.topic '{on_error.topic}' cannot be published to: {fault}"
        yield graph.problem((*loc, "topic"), "bad-topic", message)
    if on_error.policy == "drop":
        message = "onError.topic has no effect with policy drop; use policy deadLetter, or remove the topic"
        yield graph.warning((*loc, "topic"), "wrong-value", message)
    if on_error.endpoint is None and len(known) != 1:
        found = f"the graph has {len(known)}: {', '.join(known)}" if known else "the graph has none"
        message = f"onError.topic needs an endpoint, and {found}; add onError.endpoint"
        yield graph.problem((*loc, "topic"), "unknown-endpoint", message)


def _loops(graph: Graph, known: Known) -> Iterator[Problem]:
    """Sinks whose topic a source that feeds them reads at the same broker."""
    sources = [op for op in graph.file.operations if isinstance(op, SourceOperation)]
    for index, sink in enumerate(graph.file.operations):
        if not isinstance(sink, SinkOperation) or _template_fault(sink.topic):
            continue
        for source in sources:
            here, there = _broker(sink.endpoint, known), _broker(source.endpoint, known)
            if here is None or here != there or sink.name not in graph.wiring.downstream([source.name]):
                continue
            if (found := _meets(sink.topic, source.topics)) is not None:
                yield _loop(graph, index, sink, source, found)


def _meets(topic: str, filters: tuple[str, ...]) -> str | None:
    """The filter that a published topic comes back through, if any."""
    own = as_filter(topic)
    return next((text for text in filters if can_meet(own, unshared(text))), None)


def _loop(graph: Graph, index: int, sink: SinkOperation, source: SourceOperation, found: str) -> Problem:
    loc = ("operations", index, "topic")
    back = (
        f"source '{source.name}' reads as '{found}' at the same broker, so messages go round for ever; use another "
        "topic"
    )
    if sink.topic == "{topic}" or parse(sink.topic).constant:
        return graph.problem(loc, "topic-loop", f"it publishes to '{sink.topic}', which {back}")
    return graph.warning(loc, "topic-loop", f"it may publish, with '{sink.topic}', to a topic that {back}")


def _broker(name: str | None, known: Known) -> tuple[str, int] | None:
    if name is None or name not in known or known[name].kinds != [MQTT]:
        return None
    options = known[name].options
    return (getattr(options, "host", ""), getattr(options, "port_number", 0))
