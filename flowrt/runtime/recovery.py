"""After a node failed on a batch: a fresh instance, and the batch again, message by message.

Only the messages that fail alone are lost to `onError`; what stood beside them in the batch passes. `process` must not
have had any effect when it raises, which is what `Operator` promises.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import zip_longest

from flowrt.errors import GuestTrap, NodeFault
from flowrt.message import Batch, join
from flowrt.operators.base import Emission, Fault


def process_recovering(
    process: Callable[[Batch], Emission], batch: Batch, revive: Callable[[NodeFault, bool], None]
) -> Emission:
    """`process`, surviving faults. `revive` is told of each trap and whether one message caused it, and puts a fresh
    instance in place, with back-off; it may raise `Stopped`."""
    try:
        return process(batch)
    except NodeFault as fault:
        first = fault
        if isinstance(fault, GuestTrap):
            revive(fault, len(batch) == 1)
    if len(batch) > 1:
        return merged([process_recovering(process, batch.slice(i, i + 1), revive) for i in range(len(batch))])
    if first.kind != "crash":
        return Emission((), faults=(Fault(batch, first),))
    try:  # a process may be killed from outside: a message is guilty that kills two
        return process(batch)
    except NodeFault as second:
        if isinstance(second, GuestTrap):
            revive(second, True)
        return Emission((), faults=(Fault(batch, second),))


def merged(emissions: Sequence[Emission]) -> Emission:
    """One emission of several, in order."""
    ports: list[Batch | None] = []
    for column in zip_longest(*(emission.ports for emission in emissions)):
        parts = [part for part in column if part is not None]
        ports.append(join(parts) if parts else None)
    return Emission(
        ports,
        [seq for emission in emissions for seq in emission.filtered],
        [fault for emission in emissions for fault in emission.faults],
        [seq for emission in emissions for seq in emission.forked],
        [seq for emission in emissions for seq in emission.kept],
    )
