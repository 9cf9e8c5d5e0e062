"""What an operator is: the code behind one operation type, and the contracts between it and what surrounds it.

An operator file holds, in this order: the user's documentation, the config model, the class. Operators import no
engine, no broker and no model library: the runtime hands them guests and models through the protocols below.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol

from flowrt.errors import NodeFault
from flowrt.message import Batch, Message, Tensor
from flowrt.options import Field, Options
from flowrt.quota.quantity import Seconds
from flowrt.quota.resources import Resources
from flowrt.values import Struct, field

OUT = 0
"""The only port of most operators."""
ARM_FALSE, ARM_TRUE = 0, 1
"""The ports of a branch, in AIO's order: false takes the first arm."""


class OnError(Options):
    """Where a message goes that a node cannot handle."""

    policy: Literal["deadLetter", "drop", "retry"] = "deadLetter"
    """`deadLetter` keeps it in the local store, `drop` counts and forgets it, `retry` tries again and then keeps it."""
    topic: str | None = None
    """With `deadLetter` or `retry`: publish it here as well, through `endpoint`."""
    endpoint: str | None = None
    """The MQTT endpoint of `topic`; unset: the graph's only one."""
    retries: int = Field(3, ge=1, le=1000)
    """With `retry`: how often to try again."""
    crashes: int = Field(2, ge=1, le=100)
    """With `isolation: process`: a message that has killed the node's process so often, alone, is the one at fault.
    More than 1, since a process may be killed from outside."""
    backoff: Seconds = Field(0.1, ge=0, le=3600)
    """With `retry`: the first pause; each further one is twice as long."""


class Operation(Options):
    """What every operation takes."""

    name: str = Field(min_length=1, max_length=256)
    """Unique in the graph; connections and metrics use it."""
    description: str | None = None
    """For people."""
    resources: Resources = Resources.by_default()
    """The quota of this operation."""
    on_error: OnError = OnError.by_default()
    """Where a message goes that this operation cannot handle."""


class Fault(Struct, frozen=True):
    """Rows that could not be handled, and why. `rows` are as they entered the node."""

    rows: Batch
    error: NodeFault


class Emission(Struct):
    """All that became of one batch. Every row that entered is in exactly one of: a port, `filtered`,
    a fault, `kept`.

    A row that became k messages stands k times in the ports and k - 1 times in `forked`.
    """

    ports: Sequence[Batch | None]
    """One batch a port, None where nothing goes."""
    filtered: Sequence[int] = ()
    """Sequence numbers of rows left out on purpose."""
    faults: Sequence[Fault] = ()
    forked: Sequence[int] = ()
    """Sequence numbers with one more row than they entered with."""
    kept: Sequence[int] = ()
    """Sequence numbers of rows that the node keeps until their time has come; see `operators/timed.py`."""


class Operator(Protocol):
    """The running code of one node. Called by one thread at a time; it may block for the node's deadline."""

    def process(self, batch: Batch) -> Emission:
        """Handle a batch. Raises `GuestTrap` when nothing of it was handled and `restart` is due before another call;
        another `NodeFault` when nothing was handled and the operator is still sound."""

    def restart(self) -> None:
        """Put a fresh instance in the place of one that trapped, with the state from before the failed batch."""

    def memory_bytes(self) -> int:
        """What the node holds at present, in bytes."""

    def close(self) -> None:
        """Give everything back. Safe to call twice."""


Errors = Mapping[int, str | NodeFault]
"""By row: the guest's own words, or a fault in what it gave."""


def as_fault(given: str | NodeFault) -> NodeFault:
    """What a guest's own words make."""
    return NodeFault("error", given) if isinstance(given, str) else given


def faults_of(batch: Batch, errors: Errors) -> tuple[Fault, ...]:
    """A fault for each row that failed alone."""
    return tuple(
        Fault(batch.slice(row, row + 1), as_fault(given))
        for row, given in sorted(errors.items(), key=lambda item: item[0])
    )


class GuestOutput(Struct, frozen=True):
    """What a guest made of a batch: row `rows[i]` of the input became `payloads[i]`.

    `heads` is None when every output keeps its input's head. `errors` maps an input row to the guest's own words, or
    to what is wrong with what it gave. `size` is bytes of all payloads, where it is known; else negative.
    """

    rows: Sequence[int]
    payloads: Sequence[bytes]
    heads: Sequence[Any] | None = None
    errors: Errors = field(default_factory=dict)
    size: int = -1


class Guest(Protocol):
    """One instance of a module. After a `GuestTrap` the instance must not be called again."""

    def map(self, batch: Batch) -> GuestOutput: ...

    def decide(self, entry: Literal["filter", "branch"], batch: Batch) -> tuple[bytes, Errors]:
        """One byte a row, 0 or 1, and the guest's words for the rows it refused (their byte is 0)."""

    def accumulate(self, staged: Message, batch: Batch) -> Message:
        """What has been folded so far, with some more messages of its logical time. Raises another `NodeFault` than a
        trap when the guest refuses them all."""

    def delay(self, batch: Batch) -> tuple[Sequence[int], Errors]:
        """A logical time for each row, and the guest's words for the rows it refused."""

    def save(self) -> bytes | None:
        """The module's state, or None for a module that keeps none."""

    def restore(self, state: bytes) -> None: ...

    def memory_bytes(self) -> int: ...

    def close(self) -> None: ...


GuestFactory = Callable[[], Guest]
"""Makes a fresh, initialised instance. Raises `GuestTrap` when `init` traps or refuses."""


class Model(Protocol):
    """A loaded model, shared by every node that names it."""

    inputs: tuple[Tensor, ...]
    """A dimension of -1 is free; the first dimension is the batch where it is free."""
    outputs: tuple[Tensor, ...]
    row_outputs: tuple[Tensor, ...]
    """The outputs of one row: without the batch dimension."""
    even: bool
    """Whether the outputs of one run are as long one as the other."""
    fallbacks: Mapping[str, int]
    """Rows that ran elsewhere than on this model itself, by the reason."""

    def run_rows(self, payloads: Sequence[bytes]) -> Sequence[bytes]:
        """Run the model once for rows whose payload holds its input tensors one after the other, without the batch
        dimension; the outputs come back in the same form. Raises `NodeFault` of kind `inference`."""

    def memory_bytes(self) -> int: ...

    def close(self) -> None: ...
