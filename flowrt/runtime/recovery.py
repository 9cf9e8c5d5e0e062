"""After a node failed on a batch: a fresh instance, and the batch again, message by message.

Only the messages that fail alone are lost to `onError`; what stood beside them in the batch passes. `process` must not
have had any effect when it raises, which is what `Operator` promises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest

from flowrt.errors import GuestTrap, NodeFault
from flowrt.message import Batch, join
from flowrt.operators.base import Emission, Fault

Revive = Callable[[NodeFault, bool], None]
"""Told of each trap and whether one message caused it; puts a fresh instance in place, with back-off. May raise
`Stopped`."""


Parts = Iterator[tuple[Batch, Emission]]
"""What became of each part of a batch, as soon as it is known."""


def recovering(process: Callable[[Batch], Emission], batch: Batch, revive: Revive, crashes: int = 2) -> Parts:
    """`process`, surviving faults. Mostly that is all of the batch at once."""
    try:
        yield batch, process(batch)
    except NodeFault as fault:
        yield from after(fault, process, batch, revive, crashes)


def after(
    fault: NodeFault, process: Callable[[Batch], Emission], batch: Batch, revive: Revive, crashes: int = 2
) -> Parts:
    """The same once `process` has failed on a batch with a fault. A message that has killed its node's process
    `crashes` times is guilty; any other kind of fault, one time."""
    if isinstance(fault, GuestTrap):
        revive(fault, len(batch) == 1)
    if len(batch) > 1:
        for row in range(len(batch)):
            yield from recovering(process, batch.slice(row, row + 1), revive, crashes)
    elif fault.kind == "crash" and crashes > 1:  # a process may be killed from outside
        yield from recovering(process, batch, revive, crashes - 1)
    else:
        yield batch, Emission((), faults=(Fault(batch, fault),))


def process_recovering(
    process: Callable[[Batch], Emission], batch: Batch, revive: Revive, crashes: int = 2
) -> Emission:
    """As `recovering`, for who needs what became of the whole batch together."""
    return merged([emission for _, emission in recovering(process, batch, revive, crashes)])


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
