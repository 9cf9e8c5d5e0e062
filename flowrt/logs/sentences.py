"""What each event says: its level, whom it concerns, one sentence, and its fields."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowrt.events import (
    BreakerOpened,
    CheckpointSetAside,
    CommandRefused,
    CommandTaken,
    EndpointConnected,
    EndpointLost,
    EndpointRefused,
    Event,
    FollowFailed,
    GraphMissing,
    GraphReady,
    GraphStarted,
    GraphStopped,
    GuestLogged,
    LimitReached,
    MessagesDropped,
    NodeDisabled,
    NodeEnabled,
    NodeFaulted,
    NodeRestarted,
    Reloaded,
    SessionLeft,
    SpoolDrained,
    SpoolFound,
    SpoolLeft,
    SpoolStarted,
    StoreFailed,
    UpdateFailed,
    UpdateMoved,
    WorkerDied,
)
from flowrt.values import Struct

SENTENCES: dict[type[Event], str] = {
    GraphStarted: "started; nodes: {nodes}, stages: {stages}",
    GraphMissing: "does not come up, the others run, again in {seconds:.0f} s: {reason}",
    GraphReady: "ready after {seconds:.3f} s",
    GraphStopped: "stopped, drained: {drained}",
    Reloaded: "reloaded: {done} {reason}",
    UpdateMoved: "update to version {version}: {state} {detail}",
    UpdateFailed: "update to version {version} {state}: {reason}; what ran before runs on",
    CommandTaken: "command {do} {detail}, signed by key {key}",
    CommandRefused: "a command is not carried out, {kind}: {reason}",
    FollowFailed: "{source}: {reason}",
    NodeFaulted: "fault of kind {kind}: {detail}; messages {outcome}: {count}",
    NodeRestarted: "fresh instance, restart {restarts}, after {reason}",
    LimitReached: "over its {bound} of {limit}, {seconds:.3f} s from being within it; atLimit is {outcome}",
    NodeDisabled: "switched off for {pause:g} s, after {faults} faults within {within:g} s; the last: {reason}",
    NodeEnabled: "tried again after having been switched off",
    GuestLogged: "{text}",
    EndpointConnected: "connected to {address} {detail}",
    EndpointLost: "not connected to {address}: {reason}; next attempt in {retry_seconds:.1f} s",
    EndpointRefused: "refused by {address}: {reason}",
    StoreFailed: "cannot be written: {reason}; next attempt in {retry_seconds:.1f} s",
    CheckpointSetAside: "its checkpoint of {entries} entries was set aside: {reason}; it begins without",
    SessionLeft: (
        "client id '{now}' was '{before}' before: {address} keeps that session, subscribed to {filters}, and its "
        "messages until they expire; run once more under the old id to fetch them"
    ),
    SpoolStarted: "{reason}; its messages wait on disk",
    SpoolDrained: "all that waited on disk is sent, messages: {messages}",
    SpoolFound: "found on disk, left by an earlier run: {messages} messages, {cut_bytes} bytes of unfinished writes",
    SpoolLeft: (
        "nobody sends what waits on disk for it, messages: {messages}; the graph has no such sink, or it has no spool: "
        "give them to another with `flowrt spool drain {graph}/{sink} --into GRAPH/SINK`"
    ),
    BreakerOpened: "sends nothing for {pause:g} s, messages turned away: {refusals}; the last: {reason}",
    WorkerDied: "worker {worker} died of {cause}; messages to be dealt again: {messages}; next start in {pause:.1f} s",
    MessagesDropped: "messages dropped ({reason}): {count}",
}
"""Every event's sentence."""

TEXT_MAX = 2000
"""Characters kept of one field: a guest's words must not fill the disk."""

_WHERE = ("graph", "node", "endpoint", "sink", "store", "where")
_GUEST_LEVELS = {"trace": "debug", "debug": "debug", "warn": "warning", "warning": "warning", "error": "error"}


class Line(Struct, frozen=True):
    """One log line before it is written."""

    level: str
    event: str
    """In JSON, so that lines can be selected without parsing sentences: `nodeFaulted`."""
    where: str
    """`graph/node`, or the endpoint or store."""
    text: str
    fields: Mapping[str, Any]
    more: int = 0
    """How many alike ones were left out; then the others hold for the last of them."""


def line_of(event: Event) -> Line:
    """The line of an event. Text from outside stands in it as it came: whoever writes it escapes it."""
    values = {name: _bounded(getattr(event, name)) for name in event.__struct_fields__}
    name = type(event).__name__
    return Line(
        _level(event),
        name[0].lower() + name[1:],
        "/".join(str(values[key]) for key in _WHERE if key in values),
        SENTENCES[type(event)].format_map(values).strip(),
        values,
    )


def _level(event: Event) -> str:
    """A guest chooses its own level."""
    return _GUEST_LEVELS.get(event.severity, "info") if isinstance(event, GuestLogged) else event.level


def _bounded(value: Any) -> Any:
    if isinstance(value, str) and len(value) > TEXT_MAX:
        return f"{value[:TEXT_MAX]}… ({len(value)} characters)"
    return value
