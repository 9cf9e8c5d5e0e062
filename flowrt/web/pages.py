"""The pages every runtime serves: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever supervises it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from flowrt.metrics import Metrics
from flowrt.runtime.view import GraphView
from flowrt.web.server import Response, Route

Graphs = Callable[[], Sequence[GraphView]]
"""The graphs that run at present. Asked at each request, by any thread."""


def pages(graphs: Graphs) -> dict[str, Route]:
    """Path to page."""
    exposition = Metrics(graphs).exposition

    def metrics(headers: Mapping[str, str]) -> Response:
        body, content_type = exposition(headers.get("accept", ""))
        return Response(body, content_type)

    return {
        "/metrics": metrics,
        "/healthz": lambda _: _state(unhealthy(graphs())),
        "/readyz": lambda _: _state(unready(graphs())),
    }


def unhealthy(graphs: Sequence[GraphView]) -> list[str]:
    """What only a restart of the process mends, a line each. A broker that is away is nothing of the kind."""
    return [f"graph '{graph.name}': stage '{stage}' has ended" for graph in graphs for stage in graph.broken()]


def unready(graphs: Sequence[GraphView]) -> list[str]:
    """What keeps messages from flowing at present, a line each."""
    if not graphs:
        return ["no graph is running"]
    waiting = []
    for graph in graphs:
        if not graph.nodes:
            waiting.append(f"graph '{graph.name}' does not come up; the log says why")
        elif not graph.ready():
            names = sorted({endpoint.name for endpoint in graph.endpoints if not endpoint.ready()})
            waiting.append(f"graph '{graph.name}' waits for {', '.join(names) or 'its dead-letter endpoint'}")
    return waiting


def _state(complaints: Sequence[str]) -> Response:
    if not complaints:
        return Response(b"ok\n")
    return Response("".join(f"{line}\n" for line in complaints).encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)
