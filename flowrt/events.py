"""What happens, as data: one dataclass an event. One place (`flowrt.logs`) turns an event into a log line.

Hot paths emit no events; they touch counters. The closed lists below are the label values of metrics.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from flowrt.values import Struct

FAULTS = {
    "abi": "the guest returned something its interface does not allow",
    "crash": "the node's own process died",
    "deadline": "a call took longer than the node's deadline",
    "disabled": "the node is switched off, because it failed too often",
    "error": "the guest refused the message with its own words",
    "expression": "a transform's expression has no value for the message",
    "format": "a payload is not in the format that the node reads",
    "fuel": "a call used up the node's fuel",
    "inference": "the model's engine failed",
    "init": "the guest's init failed or refused",
    "memory": "the guest asked for more memory than its quota",
    "outputs": "the guest made more messages of one than its quota allows",
    "size": "a payload is larger than the node takes or makes",
    "shape": "a tensor does not fit the model",
    "topic": "a sink could not build a valid topic for the message",
    "busy": "the other side turned the message away for now: quota exceeded, or too busy",
    "send": "the other side refused the message",
    "trap": "the guest trapped (unreachable, division by zero, wild access, exhausted stack)",
    "time": "a guest gave a message an earlier logical time, or one that is too far off",
    "late": "the message came after its time had passed, and its operation refuses what is late",
    "internal": "a fault of flowrt itself",
}
"""Kinds of faults and what each means."""

DROPS = {
    "filtered": "a filter or a guest left it out on purpose",
    "limit": "the node was over its cpu, messageRate or byteRate, and its atLimit is drop",
    "onError": "the operation's onError policy is drop",
    "overflow": "a QoS 0 source's inbox was full and the source drops rather than waits",
    "onErrorTopic": "a copy for onError.topic gave way while its broker was away; the letter itself is in the store",
    "deadLetterFull": "the dead-letter store was full and dropped its oldest",
    "letterDropped": "it failed again when its dead letter was sent again, and that had been deleted meanwhile",
    "malformed": "a packet or line that could not be read",
    "refused": "the broker refused it for good",
    "spoolFull": "a sink's spool was full",
    "spoolAge": "it had been in a sink's spool for longer than the spool's age",
    "spoolDamaged": "a sink's spool held something else than was written; `flowrt spool verify` says where",
    "unconnected": "an operation without an outgoing connection",
}
"""Reasons for which a message ends early and what each means."""


class Event(Struct, frozen=True):
    """Base of all events. `level` is the log level it is written at."""

    level: ClassVar[str] = "info"


class GraphStarted(Event, frozen=True):
    """A graph runs; its subscriptions may still be on their way."""

    graph: str
    nodes: int
    stages: int


class GraphMissing(Event, frozen=True):
    """A graph does not come up, while others of the same runtime do; it is tried again after `seconds`."""

    level: ClassVar[str] = "error"
    graph: str
    reason: str
    seconds: float


class GraphReady(Event, frozen=True):
    """Every subscription of a graph is acknowledged."""

    graph: str
    seconds: float


class GraphStopped(Event, frozen=True):
    """A graph has stopped. Not drained: what was under way stays unacknowledged at its sources, or spooled."""

    graph: str
    drained: bool


class Reloaded(Event, frozen=True):
    """The files were read again, at the user's request; not done: what ran before runs on, for `reason`."""

    done: bool
    reason: str


class UpdateMoved(Event, frozen=True):
    """An update of a running graph has come a step further."""

    graph: str
    version: str
    state: str
    """A state of `flowrt.updates.lifecycle`."""
    detail: str


class UpdateFailed(Event, frozen=True):
    """An update was refused or rolled back: what ran before runs on."""

    level: ClassVar[str] = "error"
    graph: str
    version: str
    state: str
    reason: str


class CommandTaken(Event, frozen=True):
    """A signed command that is carried out."""

    graph: str
    do: str
    key: str
    """Who signed it."""
    detail: str


class CommandRefused(Event, frozen=True):
    """A command that is not carried out."""

    level: ClassVar[str] = "warning"
    graph: str
    kind: str
    """A member of `flowrt.counters.COMMANDS`."""
    reason: str


class FollowFailed(Event, frozen=True):
    """Whether there is a new version could not be learned, or it was not taken."""

    level: ClassVar[str] = "warning"
    graph: str
    source: str
    reason: str


class NodeFaulted(Event, frozen=True):
    """A node failed on messages; `outcome` says what became of them."""

    level: ClassVar[str] = "error"
    graph: str
    node: str
    kind: str
    detail: str
    count: int
    outcome: str
    backtrace: str = ""


class NodeRestarted(Event, frozen=True):
    """A node got a fresh instance after a trap."""

    level: ClassVar[str] = "warning"
    graph: str
    node: str
    restarts: int
    reason: str
    """The fault that ended the instance before."""


class LimitReached(Event, frozen=True):
    """A node is over one of its rates; said once in a while, however long that lasts."""

    level: ClassVar[str] = "warning"
    graph: str
    node: str
    bound: str
    """`cpu`, `messageRate` or `byteRate`."""
    limit: str
    """As a user writes it."""
    seconds: float
    """How far it is over: the time after which it would be within again."""
    outcome: str
    """`throttle`, `drop` or `bypass`."""


class NodeDisabled(Event, frozen=True):
    """A node that failed too often is switched off for a while."""

    level: ClassVar[str] = "error"
    graph: str
    node: str
    faults: int
    within: float
    pause: float
    reason: str
    """Its last fault."""


class NodeEnabled(Event, frozen=True):
    """A node that was switched off is tried again."""

    level: ClassVar[str] = "warning"
    graph: str
    node: str


class GuestLogged(Event, frozen=True):
    """A guest wrote a log line."""

    graph: str
    node: str
    severity: str
    text: str


class EndpointConnected(Event, frozen=True):
    """An endpoint reached the other side."""

    endpoint: str
    address: str
    detail: str = ""


class EndpointLost(Event, frozen=True):
    """An endpoint lost the other side, or could not reach it; it tries again."""

    level: ClassVar[str] = "warning"
    endpoint: str
    address: str
    reason: str
    retry_seconds: float


class EndpointRefused(Event, frozen=True):
    """The other side refused something for good: a subscription, the credentials, the client id."""

    level: ClassVar[str] = "error"
    endpoint: str
    address: str
    reason: str


class StoreFailed(Event, frozen=True):
    """A store on disk cannot be written; what needs it waits and tries again."""

    level: ClassVar[str] = "error"
    store: str
    reason: str
    retry_seconds: float


class CheckpointSetAside(Event, frozen=True):
    """What a node had kept does not fit it or is damaged: the node begins without it, and it is kept for a look."""

    level: ClassVar[str] = "error"
    graph: str
    node: str
    entries: int
    reason: str


class SessionLeft(Event, frozen=True):
    """An endpoint has another client id than in its last run: what the broker keeps under the old one is left there."""

    level: ClassVar[str] = "warning"
    endpoint: str
    address: str
    before: str
    now: str
    filters: str
    """What the old session had subscribed to."""


class SpoolStarted(Event, frozen=True):
    """A sink's messages go to disk, because its other side is away or slow."""

    level: ClassVar[str] = "warning"
    endpoint: str
    sink: str
    reason: str


class SpoolDrained(Event, frozen=True):
    """All that was in a sink's spool is sent, and messages go straight out again."""

    endpoint: str
    sink: str
    messages: int
    """Sent from the spool since it began."""


class SpoolFound(Event, frozen=True):
    """A spool was found at the start: what an earlier run left, and what a power cut left unfinished."""

    endpoint: str
    sink: str
    messages: int
    cut_bytes: int


class SpoolLeft(Event, frozen=True):
    """Messages wait on disk for a sink that the graph has no more, or that has no spool any more: nobody sends them."""

    level: ClassVar[str] = "error"
    graph: str
    sink: str
    messages: int


class BreakerOpened(Event, frozen=True):
    """A sink stops sending for a while: its other side turns messages away."""

    level: ClassVar[str] = "error"
    endpoint: str
    sink: str
    refusals: int
    pause: float
    reason: str


class WorkerDied(Event, frozen=True):
    """A process of `--workers` ended although nobody asked it to; what it had not done with is dealt again."""

    level: ClassVar[str] = "error"
    worker: int
    cause: str
    messages: int
    pause: float


class MessagesDropped(Event, frozen=True):
    """Messages ended early without being asked to."""

    level: ClassVar[str] = "warning"
    where: str
    reason: str
    count: int


Emit = Callable[[Any], None]
"""Where events go; `flowrt.logs.emit` in production, a list's `append` in tests."""
