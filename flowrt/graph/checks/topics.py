"""Topics: valid to subscribe to and to publish to, and no way round in a circle."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.endpoints.kafka.names import topic_name_fault
from flowrt.endpoints.template import parse
from flowrt.endpoints.topics import filter_fault, topic_fault, unshared
from flowrt.graph.checks.endpoints import MQTT, Known
from flowrt.graph.graph import Graph, Loc
from flowrt.graph.topics import as_filter, can_meet
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.problem import Problem
from flowrt.values import Struct


class _Outlet(Struct, frozen=True):
    """A topic that an operation publishes to: a sink's, or where its messages go that cannot be handled."""

    loc: Loc
    operation: str
    topic: str
    endpoint: str | None


def check(graph: Graph) -> Iterator[Problem]:
    """Every topic of sources, sinks and `onError`."""
    known = {endpoint.name: endpoint for endpoint in graph.file.endpoints}
    for index, operation in enumerate(graph.file.operations):
        if isinstance(operation, SourceOperation):
            yield from _source(graph, index, operation, known)
    for outlet in _outlets(graph, known):
        if fault := _template_fault(outlet.topic):
            code = "bad-template" if "{" in outlet.topic or "}" in outlet.topic else "bad-topic"
            yield graph.problem(outlet.loc, code, f"topic '{outlet.topic}' cannot be published to: {fault}")
        else:
            yield from _loops(graph, outlet, known)


def _source(graph: Graph, index: int, source: SourceOperation, known: Known) -> Iterator[Problem]:
    endpoint = known.get(source.endpoint or "")
    kinds = endpoint.kinds if endpoint is not None else []
    if kinds == ["file"]:
        yield from _file_topic(graph, index, source)
        return
    if kinds == ["kafka"]:
        yield from _kafka_topics(graph, index, source)
        return
    if not source.topics and kinds == [MQTT] and not graph.repaired:
        message = 'it reads from an MQTT broker and names no topics; add topics: ["plant/+/pump"]'
        yield graph.problem(("operations", index), "missing-topic", message)
    for position, topic in enumerate(source.topics):
        if fault := filter_fault(topic):
            message = f"topic filter '{topic}' cannot be subscribed to: {fault}"
            yield graph.problem(("operations", index, "topics", position), "bad-topic", message)


def _kafka_topics(graph: Graph, index: int, source: SourceOperation) -> Iterator[Problem]:
    if not source.topics and not graph.repaired:
        message = "it reads from Kafka and names no topics; add topics: [readings]"
        yield graph.problem(("operations", index), "missing-topic", message)
    for position, topic in enumerate(source.topics):
        if fault := topic_name_fault(topic):
            message = f"topic '{topic}' cannot be subscribed to: {fault}"
            yield graph.problem(("operations", index, "topics", position), "bad-topic", message)


def _file_topic(graph: Graph, index: int, source: SourceOperation) -> Iterator[Problem]:
    loc = ("operations", index, "topics")
    if len(source.topics) > 1:
        message = f"messages of a file are given one topic, and there are {len(source.topics)}; keep one"
        yield graph.problem(loc, "bad-topic", message)
    elif source.topics and (fault := topic_fault(source.topics[0])):
        message = f"messages of a file cannot be given the topic '{source.topics[0]}': {fault}"
        yield graph.problem((*loc, 0), "bad-topic", message)


def _outlets(graph: Graph, known: Known) -> Iterator[_Outlet]:
    only = next(iter(known)) if len(known) == 1 else None
    for index, operation in enumerate(graph.file.operations):
        loc, on_error = ("operations", index), operation.on_error
        if isinstance(operation, SinkOperation) and not _is_file(operation.endpoint, known):
            yield _Outlet((*loc, "topic"), operation.name, operation.topic, operation.endpoint)
        if on_error.topic is not None and on_error.policy != "drop":
            where = on_error.endpoint or only
            yield _Outlet((*loc, "onError", "topic"), operation.name, on_error.topic, where)


def _is_file(name: str | None, known: Known) -> bool:
    return name is not None and name in known and known[name].kinds == ["file"]


def _template_fault(text: str) -> str | None:
    """Why a template makes no topic, or None."""
    try:
        parse(text)
    except ValueError as error:
        return str(error)
    return None


def _loops(graph: Graph, outlet: _Outlet, known: Known) -> Iterator[Problem]:
    """Sources that read what the outlet publishes, and feed it."""
    here = _broker(outlet.endpoint, known)
    for source in graph.file.operations:
        if here is None or not isinstance(source, SourceOperation) or _broker(source.endpoint, known) != here:
            continue
        found = _meets(outlet.topic, source.topics)
        if found is not None and outlet.operation in graph.wiring.downstream([source.name]):
            yield _loop(graph, outlet, source.name, found)


def _meets(topic: str, filters: tuple[str, ...]) -> str | None:
    """The filter that a published topic comes back through, if any."""
    own = as_filter(topic)
    return next((text for text in filters if can_meet(own, unshared(text))), None)


def _loop(graph: Graph, outlet: _Outlet, source: str, found: str) -> Problem:
    back = f"source '{source}' reads as '{found}' at the same broker, so messages go round for ever; use another topic"
    if outlet.topic == "{topic}" or parse(outlet.topic).constant:
        return graph.problem(outlet.loc, "topic-loop", f"it publishes to '{outlet.topic}', which {back}")
    return graph.warning(outlet.loc, "topic-loop", f"it may publish, with '{outlet.topic}', to a topic that {back}")


def _broker(name: str | None, known: Known) -> str | None:
    """The broker's address, where the endpoint is one."""
    if name is None or name not in known or known[name].kinds != [MQTT]:
        return None
    return str(getattr(known[name].options, "address", ""))
