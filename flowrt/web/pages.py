"""The pages every runtime serves: `/metrics` for Prometheus, `/healthz` and `/readyz` for whoever supervises it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus

from flowrt.web.server import Response, Route

Exposition = Callable[[str], tuple[bytes, str]]
"""Takes an `Accept` header; gives the text and its content type: `flowrt.metrics.Metrics.exposition`."""
Complaints = Callable[[], Sequence[str]]
"""What is missing, a line each; nothing when all is well."""


def pages(exposition: Exposition, unhealthy: Complaints, unready: Complaints) -> dict[str, Route]:
    """Path to page. Health asks whether the process should be restarted, readiness whether it does its work: a broker
    that is down makes it unready, never unhealthy."""

    def metrics(headers: Mapping[str, str]) -> Response:
        body, content_type = exposition(headers.get("accept", ""))
        return Response(body, content_type)

    return {"/metrics": metrics, "/healthz": _state(unhealthy), "/readyz": _state(unready)}


def _state(complaints: Complaints) -> Route:
    def state(_: Mapping[str, str]) -> Response:
        found = complaints()
        if not found:
            return Response(b"ok\n")
        return Response("".join(f"{line}\n" for line in found).encode(), status=HTTPStatus.SERVICE_UNAVAILABLE)

    return state
