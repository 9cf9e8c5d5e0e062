"""What a new version must do before it sees traffic: handle the golden messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from flowrt.errors import NodeFault
from flowrt.graph.plan import Plan
from flowrt.graph.updates import Bounds, Golden, Updates
from flowrt.logicaltime.stamps import END, START
from flowrt.message import Batch, Head, Message
from flowrt.operators.base import Emission, Operator
from flowrt.operators.timed import TimedOperator
from flowrt.runtime.state import Stateful
from flowrt.updates.compare import same
from flowrt.updates.recorded import Recorded, recorded_fault
from flowrt.updates.step import Failed

SHOWN = 80
"""Characters of a result that a message about it shows."""


def golden_fault(
    operator: Operator, begin: Callable[[], None], plan: Plan, name: str, recorded: Sequence[Recorded]
) -> str | None:
    """Why a node's new operator does not handle what it must, or None: what the graph names, and what was recorded of
    the version before."""
    bounds = plan.updates.bounds
    mine = [golden for golden in plan.updates.golden if golden.operation == name]
    wrong = _named_fault(operator, begin, mine, bounds)
    return wrong if wrong is not None else recorded_fault(operator, begin, recorded, bounds)


def golden_words(updates: Updates, recorded: int) -> str:
    """What was checked, for people."""
    return f"{len(updates.golden)} golden messages" + (f", {recorded} recorded ones" if recorded else "")


def begin_again(operator: Operator, state: bytes | None) -> None:
    """Forget what checks have left in a version that is to begin where the old one is, or afresh. Raises `Failed`."""
    if isinstance(operator, TimedOperator):
        operator.begin_again()
    if state is not None and isinstance(operator, Stateful):
        try:
            operator.resume(state)
        except NodeFault as fault:
            raise Failed(f"state: the new version refuses the state that it began with: {fault}") from fault


def _named_fault(operator: Operator, begin: Callable[[], None], golden: Iterable[Golden], bounds: Bounds) -> str | None:
    begin()
    for number, message in enumerate(golden, 1):
        head = Head(message.topic)
        batch = Batch([head], [message.payload.encode()], [0], [0.0], range(1))
        try:
            emission = _made_of(operator, batch)
        except NodeFault as fault:
            return f"message {number} for '{message.operation}': {fault}"
        if emission.faults:
            return f"message {number} for '{message.operation}': {emission.faults[0].error}"
        if message.expect is not None and (wrong := _unlike(message, emission.ports, head, bounds)) is not None:
            return wrong
    return None


def _made_of(operator: Operator, batch: Batch) -> Emission:
    """Of one that keeps messages, what it makes of these alone once their time is over."""
    emission = operator.process(batch)
    if not isinstance(operator, TimedOperator):
        return emission
    try:
        operator.frontier = END
        while (ready := operator.ready()) is not None:
            folded = operator.fold(ready)
            operator.folded(ready)
            emission = Emission(emission.ports, faults=[*emission.faults, *folded.faults])
        closed = operator.closed()
        return Emission(closed.ports, faults=[*emission.faults, *closed.faults])
    finally:
        operator.begin_again()
        operator.frontier = START


def _unlike(golden: Golden, ports: Iterable[Batch | None], head: Head, bounds: Bounds) -> str | None:
    found = [message for port in ports if port is not None for message in port.rows()]
    expected = Message(head, (golden.expect or "").encode())
    alike = [Message(head, message.payload) for message in found]
    if len(alike) == 1 and same(expected, alike[0], bounds.tolerance):
        return None
    shown = ", ".join(repr(message.payload[:SHOWN]) for message in found) or "nothing"
    return f"message for '{golden.operation}' came out as {shown}, not as {golden.expect!r}"
