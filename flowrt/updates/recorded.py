"""A recorded message: how one is caught on its way, how it lies in a file, and how a new version is tried on it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowrt.errors import GuestTrap, NodeFault
from flowrt.graph.updates import Bounds
from flowrt.message import Batch, Head, Message, Tensor
from flowrt.operators.base import Emission, Operator
from flowrt.parsing import parsed
from flowrt.updates.compare import same
from flowrt.updates.shadow import results_of
from flowrt.updates.verdict import Tally, judge
from flowrt.values import Struct, asdict


class Recorded(Struct, frozen=True, eq=False):
    """One message and what the version that was proven made of it."""

    head: Head
    payload: bytes
    results: tuple[Message, ...]
    """Each with its port as its time."""

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        each = ((self.head, self.payload), *((message.head, message.payload) for message in self.results))
        return sum(len(payload) + len(head.topic) + 64 for head, payload in each)


class Recording:
    """An operator that is watched for one batch. Implements `operators.base.Operator`."""

    def __init__(
        self, operator: Operator, take: Callable[[Batch, Emission], None], done: Callable[[Operator], None]
    ) -> None:
        """`take` gets the batch and what came of it; `done` is called once nothing more is to be recorded."""
        self.inner = operator
        self.restart = operator.restart
        self.memory_bytes = operator.memory_bytes
        self.close = operator.close
        self._take: Callable[[Batch, Emission], None] | None = take
        self._done = done

    def process(self, batch: Batch) -> Emission:
        emission = self.inner.process(batch)
        take, self._take = self._take, None
        if take is not None:
            take(batch, emission)
        self._done(self)
        return emission


def recorded_fault(
    operator: Operator, begin: Callable[[], None], messages: Sequence[Recorded], bounds: Bounds
) -> str | None:
    """Why a new version is beyond its bounds on what the proven one has handled, or None."""
    if not messages:
        return None
    begin()
    tally = Tally()
    for message in messages:
        tally.rows += 1
        try:
            emission = operator.process(Batch([message.head], [message.payload], [0], [0.0], range(1)))
        except NodeFault as fault:
            tally.detail = f"on '{message.head.topic}': {fault}"
            if isinstance(fault, GuestTrap):
                tally.traps += 1
                operator.restart()
            else:
                tally.failed += 1
        else:
            _compare(tally, message, results_of(emission, 1, {0: 0})[0], bounds)
        if (reason := judge(tally, bounds)) is not None:
            return f"recorded messages: {reason}"
    return None


def _compare(tally: Tally, message: Recorded, found: list[Message] | None, bounds: Bounds) -> None:
    if found is None:
        tally.failed += 1
        tally.detail = f"on '{message.head.topic}'"
        return
    tally.compared += 1
    expected = message.results
    if len(expected) != len(found) or not all(map(lambda a, b: same(a, b, bounds.tolerance), expected, found)):
        tally.differing += 1
        tally.detail = f"on '{message.head.topic}'"


def as_file(nodes: Mapping[str, tuple[str, Sequence[Recorded]]]) -> bytes:
    """What is kept of each node, under what it is of."""
    value = {name: {"kind": kind, "messages": list(map(_as_json, known))} for name, (kind, known) in nodes.items()}
    return json.dumps(value).encode()


def from_file(data: bytes) -> dict[str, tuple[str, list[Recorded]]]:
    """Raises ValueError for anything that `as_file` did not give."""
    try:
        return {
            str(name): (str(value["kind"]), [_from_json(one) for one in value["messages"]])
            for name, value in parsed(data).items()
        }
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"no recorded messages: {error!r}") from None


def _as_json(one: Recorded) -> dict[str, Any]:
    results = [[message.time, *_message(message.head, message.payload)] for message in one.results]
    return {"message": _message(one.head, one.payload), "results": results}


def _from_json(value: Mapping[str, Any]) -> Recorded:
    head, payload = value["message"]
    results = tuple(
        Message(_head(head), base64.b64decode(payload), int(port)) for port, head, payload in value["results"]
    )
    return Recorded(_head(head), base64.b64decode(payload), results)


def _message(head: Head, payload: bytes) -> tuple[dict[str, Any], str]:
    value = asdict(head)
    value["tensors"] = [asdict(tensor) for tensor in head.tensors]
    del value["correlation"]  # bytes, and for one answer only
    return value, base64.b64encode(payload).decode()


def _head(value: Mapping[str, Any]) -> Head:
    tensors = tuple(Tensor(one["name"], one["type"], tuple(one["shape"])) for one in value["tensors"])
    stamp = value["timestamp"]
    properties = tuple((str(key), str(given)) for key, given in value["properties"])
    return Head(
        str(value["topic"]), value["content_type"], properties, None, None, value["schema"], value["retain"],
        None if stamp is None else (int(stamp[0]), int(stamp[1]), str(stamp[2])), tensors,
    )  # fmt: skip
