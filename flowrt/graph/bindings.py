"""`--bind NAME=URL`: an endpoint for a source or sink that the file leaves abstract, as AIO's definitions do.

`mqtt://HOST[:PORT]/TOPIC?qos=1&clientId=…` and `mqtts://…`, where TOPIC is a source's topic filter or a sink's topic,
percent-encoded where it must be (`#` need not be); every further key is an option of the MQTT endpoint. `file:PATH`.
Credentials do not belong on a command line, where every process sees them: give `credentials` in the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

from pydantic import ValidationError

from flowrt.endpoints.file_config import STANDARD_STREAM
from flowrt.endpoints.registry import ENDPOINTS
from flowrt.graph.graph import Graph
from flowrt.graph.model import Endpoint
from flowrt.operators.base import Operation
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.options import own_fields, yaml_name
from flowrt.problem import Problem, nearest

_PLACE = "--bind"
"""What problems name in place of a file."""


class BindingError(ValueError):
    """A URL that cannot be used; the message says why and what to write."""


def bind(graph: Graph, bindings: Mapping[str, str]) -> tuple[Graph, list[Problem]]:
    """The graph with the named ends bound, and what is wrong with the bindings."""
    problems: list[Problem] = []
    for name, url in bindings.items():
        try:
            graph = _bound(graph, name, url)
        except BindingError as error:
            problems.append(Problem(_PLACE, 0, 0, "bad-binding", f"operation '{name}': {error}", name))
    return graph, problems


def _bound(graph: Graph, name: str, url: str) -> Graph:
    ends = {op.name: op for op in graph.file.operations if isinstance(op, SourceOperation | SinkOperation)}
    if name not in ends:
        remedy = nearest(name, ends) or f"; sources and sinks are {', '.join(ends) or 'none'}"
        raise BindingError(f"the graph has no source or sink '{name}'{remedy}")
    entry, changes = _parse(url, f"--bind {name}", ends[name])
    same = next((known for known in graph.file.endpoints if _options(known) == _options(entry)), None)
    endpoints = graph.file.endpoints if same else (*graph.file.endpoints, entry)
    changed = ends[name].model_copy(update={**changes, "endpoint": (same or entry).name})
    operations = tuple(changed if op.name == name else op for op in graph.file.operations)
    return replace(graph, file=graph.file.model_copy(update={"endpoints": endpoints, "operations": operations}))


def _options(entry: Endpoint) -> object:
    return entry.options if len(entry.kinds) == 1 else None


def _parse(url: str, name: str, operation: Operation) -> tuple[Endpoint, dict[str, Any]]:
    scheme, colon, rest = url.partition(":")
    if colon and scheme == "file":
        path = rest.removeprefix("//")
        if not path:
            raise BindingError(f"'{url}' names no file; write file:PATH")
        # The command line's paths start where it was typed, the file's own at its folder.
        return _entry(name, "file", {"path": path if path == STANDARD_STREAM else str(Path.cwd() / path)}), {}
    if scheme in {"mqtt", "mqtts"} and rest.startswith("//"):
        return _mqtt(url, scheme, rest[2:], name, operation)
    raise BindingError(f"'{url}' is no URL of an endpoint; write mqtt://HOST/TOPIC, mqtts://HOST/TOPIC or file:PATH")


def _mqtt(url: str, scheme: str, rest: str, name: str, operation: Operation) -> tuple[Endpoint, dict[str, Any]]:
    where, _, query = rest.partition("?")
    authority, _, topic = where.partition("/")
    if "@" in authority:
        raise BindingError("credentials do not belong on a command line; give `credentials` to an endpoint in the file")
    options: dict[str, Any] = dict(parse_qsl(query, keep_blank_values=True))
    options["host"], port = _host(authority)
    if port:
        options["port"] = port
    if scheme == "mqtts":
        options["tls"] = {}
    changes: dict[str, Any] = {}
    if (qos := options.pop("qos", None)) is not None:
        if qos not in {"0", "1", "2"}:
            raise BindingError(f"qos is '{qos}'; write 0, 1 or 2")
        changes["qos"] = int(qos)
    topic = unquote(topic)
    if isinstance(operation, SourceOperation):
        if not topic and not operation.topics:
            raise BindingError(f"'{url}' names no topic filter; write mqtt://HOST/TOPIC")
        changes |= {"topics": (topic,)} if topic else {}
    elif topic:
        changes["topic"] = topic
    return _entry(name, "mqtt", options), changes


def _host(authority: str) -> tuple[str, str]:
    """Host and port; an IPv6 address stands in brackets."""
    if authority.startswith("["):
        host, _, port = authority[1:].partition("]")
        return host, port.removeprefix(":")
    host, _, port = authority.partition(":")
    return host, port


def _entry(name: str, kind: str, options: dict[str, Any]) -> Endpoint:
    try:
        return Endpoint.model_validate({"name": name, kind: options}, by_alias=True, by_name=False)
    except ValidationError as error:
        details = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in details["loc"][1:]) or kind
        known = [yaml_name(name, default) for name, default in own_fields(ENDPOINTS[kind]).items()]
        if details["type"] == "extra_forbidden":
            raise BindingError(f"there is no option '{where}'{nearest(where, known)}") from error
        raise BindingError(f"{where}: {details['msg'][:1].lower()}{details['msg'][1:]}") from error
