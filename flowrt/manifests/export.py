"""A graph of flowrt as AIO's artifacts: definitions, a `DataflowGraph` that ties them together, endpoints.

AIO runs modules in graph definitions and its built-in transforms beside them, so a graph is split: operations with
modules that are connected stay together in one definition with an abstract source and sinks of its own, every transform
becomes a node. What AIO has no place for is a problem, with its position.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.graph.artifacts import ARTIFACTS
from flowrt.graph.graph import Graph
from flowrt.graph.model import AIO_SCHEMA, Connection, Endpoint
from flowrt.manifests.resources import GROUP
from flowrt.operators.base import Operation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.operators.transform import CONFIGURATIONS, TransformOperation
from flowrt.problem import Problem
from flowrt.values import Struct, field

_API = f"{GROUP}/v1"
_OUTPUT = "${outputTopic}"


class Exported(Struct):
    """Files by name, as values that YAML holds, and what could not be said in them."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)


class _Group(Struct):
    """Connected operations with modules: one graph definition."""

    name: str
    members: list[str]
    entries: list[str] = field(default_factory=list)
    """Operations that are fed from outside."""
    exits: dict[str, list[tuple[str, str | None]]] = field(default_factory=dict)
    """By what is fed outside, the operations and arms that feed it."""

    def output(self, to: str) -> str:
        """The name of the sink whose messages go to `to`: one that is fed by the same serves for both."""
        same = [name for name, ends in self.exits.items() if ends == self.exits[to]]
        return "sink" if len(self.outputs()) == 1 else f"to-{same[0]}"

    def outputs(self) -> dict[tuple[tuple[str, str | None], ...], str]:
        found: dict[tuple[tuple[str, str | None], ...], str] = {}
        for to, ends in self.exits.items():
            found.setdefault(tuple(ends), to)
        return found


def export(graph: Graph) -> Exported:
    """Split a graph that was read. Its modules are not looked at."""
    made = Exported()
    made.problems += _misfits(graph)
    operations: dict[str, Operation] = {operation.name: operation for operation in graph.file.operations}
    groups = _groups(graph, operations, made)
    home = {member: group for group in groups for member in group.members}
    for group in groups:
        made.files[f"{group.name}.yaml"] = _definition(graph, group, operations)
    made.files[f"{graph.name}.dataflowgraph.yaml"] = _resource(graph, groups, home, operations)
    for entry in graph.file.endpoints:
        if len(entry.kinds) == 1 and isinstance(entry.options, MqttOptions):
            made.files[f"{entry.name}.endpoint.yaml"] = _endpoint(entry, entry.options)
    return made


def _misfits(graph: Graph) -> Iterator[Problem]:
    """What AIO has no place for."""
    for index, operation in enumerate(graph.file.operations):
        loc = ("operations", index)
        kind = getattr(operation, "operation_type", "")
        if not isinstance(operation, SourceOperation | SinkOperation | GuestOperation | TransformOperation) and (
            kind != "concatenate"
        ):
            yield graph.problem(
                (*loc, "operationType"), "not-portable", f"AIO has no {kind}; run the model inside a module"
            )
        for name in ("resources", "on_error"):
            if name in operation.model_fields_set:
                key = "onError" if name == "on_error" else name
                yield graph.warning((*loc, key), "not-portable", f"AIO has no {key} of an operation; it is left out")
    for index, entry in enumerate(graph.file.endpoints):
        if len(entry.kinds) == 1 and not isinstance(entry.options, MqttOptions):
            loc = ("endpoints", index)
            yield graph.problem(loc, "not-portable", f"an endpoint of kind {entry.kinds[0]} is not written for AIO")


def _inside(operation: Operation) -> bool:
    """Whether an operation belongs into a definition."""
    return isinstance(operation, GuestOperation) or getattr(operation, "operation_type", "") == "concatenate"


def _groups(graph: Graph, operations: dict[str, Operation], made: Exported) -> list[_Group]:
    """Connected operations with modules, in the order of the file."""
    root = {name: name for name, operation in operations.items() if _inside(operation)}

    def top(name: str) -> str:
        while root[name] != name:
            name = root[name]
        return name

    for connection in graph.file.connections:
        if connection.from_.name in root and connection.to.name in root:
            root[top(connection.to.name)] = top(connection.from_.name)
    by_top: dict[str, list[str]] = {}
    for name in root:
        by_top.setdefault(top(name), []).append(name)
    alone = len(by_top) == 1
    groups = [
        _Group(graph.name if alone else f"{graph.name}-{number}", members)
        for number, members in enumerate(by_top.values(), 1)
    ]
    for group in groups:
        _open(graph, group, made)
    return groups


def _open(graph: Graph, group: _Group, made: Exported) -> None:
    """Where a group is fed, and what it feeds."""
    fed_by: dict[tuple[str, str | None], list[tuple[str, int]]] = {}
    for index, connection in enumerate(graph.file.connections):
        begin, end = connection.from_, connection.to.name
        if end in group.members and begin.name not in group.members:
            fed_by.setdefault((begin.name, begin.arm), []).append((end, index))
        elif begin.name in group.members and end not in group.members:
            group.exits.setdefault(end, []).append((begin.name, begin.arm))
    fed = list(fed_by.values())
    group.entries = [end for end, _ in fed[0]] if fed else []
    for others in fed[1:]:
        if [end for end, _ in others] != group.entries:
            message = "a graph definition has one input, and this would need another; lead both into one concatenate"
            made.problems.append(graph.problem(("connections", others[0][1]), "not-portable", message))


def _definition(graph: Graph, group: _Group, operations: dict[str, Operation]) -> dict[str, Any]:
    metadata = graph.file.metadata
    requirements = graph.file.module_requirements
    inside: list[dict[str, Any]] = [{"operationType": "source", "name": "source"}]
    for name in group.members:
        operation = operations[name]
        listed = {"operationType": getattr(operation, "operation_type", ""), "name": name}
        inside.append(listed | ({"module": operation.module} if isinstance(operation, GuestOperation) else {}))
    sinks = {group.output(to): ends for ends, to in group.outputs().items()}
    inside += [{"operationType": "sink", "name": name} for name in sinks]
    edges = [_edge("source", None, entry) for entry in group.entries]
    edges += [
        _edge(connection.from_.name, connection.from_.arm, connection.to.name)
        for connection in graph.file.connections
        if connection.from_.name in group.members and connection.to.name in group.members
    ]
    edges += [_edge(name, arm, sink) for sink, ends in sinks.items() for name, arm in ends]
    configured = [
        {"name": entry.name, "parameters": {key: _parameter(given) for key, given in entry.parameters.items()}}
        for entry in graph.file.module_configurations
        if entry.name in group.members
    ]
    required: dict[str, Any] = {
        "apiVersion": requirements.api_version,
        "runtimeVersion": requirements.runtime_version or requirements.api_version,
    }
    if requirements.features:
        required["features"] = [{"name": feature.name} for feature in requirements.features]
    version = metadata.version if metadata else "1.0.0"
    described = {"description": metadata.description} if metadata and metadata.description else {}
    return {
        "metadata": {"$schema": AIO_SCHEMA, "name": group.name, "version": version, **described},
        "moduleRequirements": required,
        **({"moduleConfigurations": configured} if configured else {}),
        "operations": inside,
        "connections": edges,
    }


def _edge(begin: str, arm: str | None, end: str) -> dict[str, Any]:
    return {"from": {"name": begin} | ({"arm": arm} if arm else {}), "to": {"name": end}}


def _parameter(given: Any) -> dict[str, Any]:
    found: dict[str, Any] = given.model_dump(by_alias=True, exclude_unset=True)
    return found


def _resource(
    graph: Graph, groups: Sequence[_Group], home: dict[str, _Group], operations: dict[str, Operation]
) -> dict[str, Any]:
    version = graph.file.metadata.version if graph.file.metadata else "1.0.0"
    nodes = [node for operation in operations.values() if (node := _node(operation)) is not None]
    nodes += [_graph_node(group.name, f"{group.name}:{version}", {}) for group in groups]
    edges = dict.fromkeys(
        pair for connection in graph.file.connections if (pair := _between(connection, home)) is not None
    )
    return {
        "apiVersion": _API,
        "kind": "DataflowGraph",
        "metadata": {"name": graph.name, "namespace": "azure-iot-operations"},
        "spec": {
            "profileRef": "default",
            "mode": "Enabled",
            "nodes": nodes,
            "nodeConnections": [{"from": {"name": begin}, "to": {"name": end}} for begin, end in edges],
        },
    }


def _between(connection: Connection, home: dict[str, _Group]) -> tuple[str, str] | None:
    """The connection between nodes that a connection of the graph is; None for one inside a definition."""
    begin, end = connection.from_.name, connection.to.name
    from_, to = home.get(begin), home.get(end)
    if from_ is not None and from_ is to:
        return None
    if from_ is not None:
        start = from_.name if len(from_.outputs()) == 1 else f"{from_.name}.{from_.output(end)}"
    else:
        start = begin if connection.from_.arm is None else f"{begin}.output.{connection.from_.arm.lower()}"
    return start, end if to is None else to.name


def _node(operation: Operation) -> dict[str, Any] | None:
    if isinstance(operation, SourceOperation):
        sources = {"endpointRef": operation.endpoint or "default", "dataSources": list(operation.topics)}
        return {"name": operation.name, "nodeType": "Source", "sourceSettings": sources}
    if isinstance(operation, SinkOperation):
        destination = operation.topic.replace("{topic}", _OUTPUT)
        settings: dict[str, Any] = {"endpointRef": operation.endpoint or "default", "dataDestination": destination}
        headers = [_header(header.model_dump()) for header in operation.headers]
        if headers:
            settings["headers"] = headers
        return {"name": operation.name, "nodeType": "Destination", "destinationSettings": settings}
    if isinstance(operation, TransformOperation):
        (kind,) = operation.kinds or ("map",)
        given = operation.settings()
        configuration = {"rules": given.rules.model_dump_json(by_alias=True, exclude_defaults=True)}
        for key in CONFIGURATIONS:
            value = getattr(given, key, None) if key != "rules" else None
            if value is not None:
                configuration[key] = value.model_dump_json(by_alias=True, exclude_none=True)
        if configuration["rules"] == "{}":
            del configuration["rules"]
        artifact = f"azureiotoperations/graph-dataflow-{kind}:{_version(kind, configuration)}"
        return _graph_node(operation.name, artifact, configuration)
    return None


def _version(kind: str, configuration: dict[str, str]) -> str:
    return max((ARTIFACTS[kind].keys.get(key, "1.0.0") for key in configuration), default="1.0.0")


def _graph_node(name: str, artifact: str, configuration: dict[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {"registryEndpointRef": "default", "artifact": artifact}
    if configuration:
        settings["configuration"] = [{"key": key, "value": value} for key, value in configuration.items()]
    return {"name": name, "nodeType": "Graph", "graphSettings": settings}


def _header(given: dict[str, Any]) -> dict[str, str]:
    action = str(given["action"])
    found = {"actionType": action[:1].upper() + action[1:], "key": str(given["key"])}
    return found if given["value"] is None else found | {"value": str(given["value"])}


def _endpoint(entry: Endpoint, options: MqttOptions) -> dict[str, Any]:
    settings: dict[str, Any] = {
        "host": options.address,
        "protocol": "WebSockets" if options.transport == "websockets" else "Mqtt",
        "keepAliveSeconds": int(options.keep_alive),
        "maxInflightMessages": options.max_inflight,
        "sessionExpirySeconds": int(options.session_expiry),
        "tls": {"mode": "Disabled" if options.tls is None else "Enabled"},
        "authentication": {"method": "Anonymous", "anonymousSettings": {}},
    }
    return {
        "apiVersion": _API,
        "kind": "DataflowEndpoint",
        "metadata": {"name": entry.name, "namespace": "azure-iot-operations"},
        "spec": {"endpointType": "Mqtt", "mqttSettings": settings},
    }
