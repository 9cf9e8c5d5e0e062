"""What a new version must do before it sees traffic: handle the golden messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from flowrt.errors import NodeFault
from flowrt.graph.updates import Bounds, Golden
from flowrt.message import Batch, Head, Message
from flowrt.operators.base import Operator
from flowrt.updates.compare import same

SHOWN = 80
"""Characters of a result that a message about it shows."""


def golden_fault(operator: Operator, begin: Callable[[], None], golden: Iterable[Golden], bounds: Bounds) -> str | None:
    """Why the operator does not handle what it must, or None."""
    begin()
    for number, message in enumerate(golden, 1):
        head = Head(message.topic)
        batch = Batch([head], [message.payload.encode()], [0], [0.0], range(1))
        try:
            emission = operator.process(batch)
        except NodeFault as fault:
            return f"message {number} for '{message.operation}': {fault}"
        if emission.faults:
            return f"message {number} for '{message.operation}': {emission.faults[0].error}"
        if message.expect is not None and (wrong := _unlike(message, emission.ports, head, bounds)) is not None:
            return wrong
    return None


def _unlike(golden: Golden, ports: Iterable[Batch | None], head: Head, bounds: Bounds) -> str | None:
    found = [message for port in ports if port is not None for message in port.rows()]
    expected = Message(head, (golden.expect or "").encode())
    alike = [Message(head, message.payload) for message in found]
    if len(alike) == 1 and same(expected, alike[0], bounds.tolerance):
        return None
    shown = ", ".join(repr(message.payload[:SHOWN]) for message in found) or "nothing"
    return f"message for '{golden.operation}' came out as {shown}, not as {golden.expect!r}"
