"""Whether queues are as large as the outage that the user says must be covered."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.endpoints.mqtt.config import MqttOptions, Outage
from flowrt.graph.graph import Graph
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.problem import Problem


def check(graph: Graph) -> Iterator[Problem]:
    """Endpoints that declare an outage: the broker's queue for their sources, the spool of each of their sinks."""
    outages: dict[str, tuple[int, Outage]] = {}
    for index, endpoint in enumerate(graph.file.endpoints):
        options = endpoint.options if len(endpoint.kinds) == 1 else None
        if isinstance(options, MqttOptions) and options.outage is not None:
            outages[endpoint.name] = (index, options.outage)
    for name, (index, outage) in outages.items():
        read = any(isinstance(op, SourceOperation) and op.endpoint == name for op in graph.file.operations)
        needed = _needed(outage)
        if read and 0 < outage.queue < needed:
            message = (
                f"an outage of {outage.cover:g} s at {outage.rate:g} messages a second needs a queue of {needed} at "
                f"the broker, which keeps {outage.queue}; set its max_queued_messages to {needed} or more"
            )
            yield graph.warning(("endpoints", index, "mqtt", "outage"), "queue-too-small", message)
    for index, operation in enumerate(graph.file.operations):
        if isinstance(operation, SinkOperation) and operation.endpoint in outages and operation.qos:
            needed = _needed(outages[operation.endpoint][1])
            if operation.spool.enabled and operation.spool.messages < needed:
                held = operation.spool.messages
                message = f"its spool holds {held} messages, and the outage needs {needed}; raise spool.messages"
                yield graph.warning(("operations", index), "queue-too-small", message)


def _needed(outage: Outage) -> int:
    return -(-int(outage.cover * outage.rate * 1000) // 1000)
