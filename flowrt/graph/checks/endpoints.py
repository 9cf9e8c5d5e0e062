"""Where messages come from and go to: endpoints, and who names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flowrt.endpoints.registry import ENDPOINTS
from flowrt.graph.facts import Facts
from flowrt.graph.graph import Graph
from flowrt.graph.model import Endpoint
from flowrt.graph.resolve import files_of
from flowrt.operators.base import Operation
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.problem import Problem, nearest

MQTT = "mqtt"
Known = Mapping[str, Endpoint]


def check(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Endpoints of one kind each, which do not push each other out and whose files are there, and operations that name
    one."""
    known = {endpoint.name: endpoint for endpoint in graph.file.endpoints}
    yield from _kinds(graph)
    yield from _clashes(graph)
    yield from _files(graph, facts)
    for index, operation in enumerate(graph.file.operations):
        if isinstance(operation, SourceOperation | SinkOperation):
            yield from _named(graph, ("operations", index, "endpoint"), operation.endpoint, known)
        yield from _on_error(graph, index, operation, known)
    yield from _commands(graph, known)


def _commands(graph: Graph, known: Known) -> Iterator[Problem]:
    """Commands come by MQTT."""
    commands = graph.file.updates.commands if graph.file.updates is not None else None
    if commands is None:
        return
    loc = ("updates", "commands", "endpoint")
    yield from _named(graph, loc, commands.endpoint, known)
    endpoint = known.get(commands.endpoint)
    if endpoint is not None and endpoint.kinds not in ([MQTT], []):
        message = f"commands come by MQTT, and endpoint '{commands.endpoint}' is none of its kind"
        yield graph.problem(loc, "endpoint-kind", message)


def unbound(graph: Graph) -> Iterator[Problem]:
    """Sources and sinks without an endpoint: sound in a definition, not in a graph that is to run."""
    for index, operation in enumerate(graph.file.operations):
        if isinstance(operation, SourceOperation | SinkOperation) and operation.endpoint is None:
            message = f"it has no endpoint; give it one, or --bind {operation.name}=mqtt://HOST/TOPIC"
            yield graph.problem(("operations", index), "unbound", message)


def _kinds(graph: Graph) -> Iterator[Problem]:
    for index, endpoint in enumerate(graph.file.endpoints):
        if len(endpoint.kinds) > 1 or (not endpoint.kinds and not graph.repaired):
            found = " and ".join(endpoint.kinds) or "none"
            known = ", ".join(ENDPOINTS)
            message = f"an endpoint has exactly one kind beside its name, and this has {found}; kinds are {known}"
            yield graph.problem(("endpoints", index), "endpoint-kind", message)


def _clashes(graph: Graph) -> Iterator[Problem]:
    """Endpoints with one client id at one broker: each connection would end the other."""
    first: dict[tuple[str, str], int] = {}
    for index, endpoint in enumerate(graph.file.endpoints):
        if endpoint.kinds != [MQTT]:
            continue  # to a Kafka broker it is a name in its log
        client, address = (_option(endpoint, name) for name in ("client_id", "address"))
        if client is None or address is None:
            continue
        if (client, address) in first:
            other = graph.file.endpoints[first[client, address]].name
            message = (
                f"endpoint '{other}' has the clientId '{client}' at {address} too, and each would push the other out"
            )
            yield graph.problem(("endpoints", index, MQTT, "clientId"), "client-id-clash", f"{message}; change one")
        first.setdefault((client, address), index)


def _files(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Warnings: a graph is often checked where its secrets are not, and they are read anew at each connect."""
    for loc, path in files_of(graph):
        if (unreadable := facts.files.get(path)) is not None:
            message = (
                f"{path} cannot be read here: {unreadable.reason}; without it this endpoint does not connect where the "
                "graph runs"
            )
            yield graph.warning(loc, "unreadable-secret", message)


def _option(endpoint: Endpoint, name: str) -> str | None:
    return getattr(endpoint.options, name, None) if len(endpoint.kinds) == 1 else None


def _named(graph: Graph, loc: tuple[str | int, ...], name: str | None, known: Known) -> Iterator[Problem]:
    if name is not None and name not in known and not graph.made_up(name):
        remedy = nearest(name, known) or (f"; known are {', '.join(known)}" if known else "; add it to `endpoints`")
        yield graph.problem(loc, "unknown-endpoint", f"there is no endpoint '{name}'{remedy}")


def _on_error(graph: Graph, index: int, operation: Operation, known: Known) -> Iterator[Problem]:
    """Where `onError.topic` is published."""
    on_error = operation.on_error
    loc = ("operations", index, "onError")
    yield from _named(graph, (*loc, "endpoint"), on_error.endpoint, known)
    if on_error.topic is None:
        return
    if on_error.policy == "drop":
        message = "onError.topic has no effect with policy drop; use policy deadLetter, or remove the topic"
        yield graph.warning((*loc, "topic"), "wrong-value", message)
    name = on_error.endpoint or (next(iter(known)) if len(known) == 1 else None)
    if name is None:
        found = f"the graph has {len(known)}: {', '.join(known)}" if known else "the graph has none"
        message = f"onError.topic needs an endpoint, and {found}; add onError.endpoint"
        yield graph.problem((*loc, "topic"), "unknown-endpoint", message)
    elif name in known and known[name].kinds not in ([MQTT], []):
        message = f"onError.topic needs an MQTT endpoint, and '{name}' is a {known[name].kinds[0]}; name another"
        yield graph.problem((*loc, "topic"), "endpoint-kind", message)
