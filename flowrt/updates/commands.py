"""Signed commands by MQTT: each verified, written down so that it is carried out once, carried out, answered.

A graph whose `updates.commands` is set has a connection of its own for them, which stays up whatever becomes of the
graph. Anybody may publish anything there: what is not a signed command of a key that may command this graph is refused,
counted and, when it asks for an answer in a place that we answer in, answered.
"""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from time import monotonic, time
from typing import Any

from flowrt.counters import UpdateCounters
from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Stopped
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.topics import matches, topic_fault
from flowrt.errors import FlowrtError, NodeFault
from flowrt.events import CommandRefused, CommandTaken, Emit
from flowrt.graph.remote import Commands
from flowrt.message import Batch, Head
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.parsing import parsed
from flowrt.quota.bucket import Bucket
from flowrt.registry.files import write_whole
from flowrt.registry.orders import Order, Seen, Unlawful, opened, seen_from
from flowrt.runtime.surroundings import Ends
from flowrt.updates.arrivals import Arrivals
from flowrt.updates.journal import file_of

RATE = 5.0
"""Commands a second that are looked at; a gateway takes a few a day."""
BURST_SECONDS = 4.0
WAITING_MAX = 16
AT_ONCE_MAX = 4
"""Commands carried out at the same time: a rollback may come while an update is under way."""
PROGRESS_SECONDS = 2.0
"""Between two answers of how far a transfer is."""
LEAVE_SECONDS = 10.0
"""For the last answers, when the topic is given up."""

Item = tuple[Head, bytes, int, Tracker | None]


class CommandTopic:
    """The topic of one graph, from `start` to `close`."""

    def __init__(
        self,
        graph: str,
        options: Commands,
        ends: Ends,
        arrivals: Arrivals,
        state: Path,
        emit: Emit,
        counters: Callable[[], UpdateCounters],
    ) -> None:
        self._graph = graph
        self._options = options
        self._arrivals = arrivals
        self._record = file_of(state, graph, "commands")
        self._emit = emit
        self._counters = counters
        self._rate = Bucket(RATE, monotonic(), BURST_SECONDS)
        self._queue: queue.Queue[Item | None] = queue.Queue(WAITING_MAX)
        self._places = threading.BoundedSemaphore(AT_ONCE_MAX)
        self._sending = threading.Lock()
        self._at_work: list[threading.Thread] = []
        given = {"endpoint": options.endpoint, "qos": 1}
        self._source = ends.source(
            SourceOperation.model_validate(
                {
                    "operationType": "source",
                    "name": "commands",
                    "topics": [options.topic],
                    "retained": "ignore",
                    **given,
                }
            )
        )
        self._sink = ends.sink(
            SinkOperation.model_validate({"operationType": "sink", "name": "answers", "topic": "{topic}", **given})
        )
        self._thread = threading.Thread(target=self._run, name=f"flowrt/commands/{graph}", daemon=True)

    def start(self) -> None:
        self._thread.start()
        self._sink.start()
        self._source.start(self._deliver, lambda: None)

    def ready(self) -> bool:
        """Whether commands are heard."""
        return self._source.ready() and self._sink.ready()

    def close(self) -> None:
        """Take nothing more, give the last answers."""
        self._source.stop()
        until = monotonic() + LEAVE_SECONDS
        with contextlib.suppress(queue.Full):  # its thread waits for the broker, until the sink is closed
            self._queue.put(None, timeout=LEAVE_SECONDS / 2)
        for thread in (self._thread, *self._at_work):
            thread.join(max(0.0, until - monotonic()))
        self._sink.flush(max(0.0, until - monotonic()))
        self._sink.close()
        self._source.close()

    # What comes.

    def _deliver(self, batch: Batch) -> None:
        """On the connection's thread, which must not wait."""
        for head, payload, seq in zip(batch.heads, batch.payloads, batch.seqs, strict=True):
            item = (head, bytes(payload), seq, batch.tracker)
            now = monotonic()
            if self._rate.left(now) < 1.0 or self._queue.full():
                self._count("busy")
                _settle(item)
                continue
            self._rate.charge(now, 1.0)
            with contextlib.suppress(queue.Full):  # at the end only: nobody else puts
                self._queue.put_nowait(item)

    def _run(self) -> None:
        while (item := self._queue.get()) is not None:
            head, payload = item[:2]
            answer_to = self._answer_to(head)
            try:
                order = self._taken(head, payload, answer_to)
            except Unlawful as unlawful:
                self._refuse(unlawful, answer_to)
            else:
                self._count("taken")
                self._emit(CommandTaken(self._graph, order.do, order.key, f"{order.artifact} {order.id}".strip()))
                self._begin(order, answer_to)
            _settle(item)

    def _taken(self, head: Head, payload: bytes, answer_to: Head | None) -> Order:
        """A command that is carried out, a place for it held. Raises `Unlawful`."""
        if answer_to is None:
            raise Unlawful("topic", f"answers go to {self._options.answered} only, not to {head.response_topic}")
        if not self._places.acquire(blocking=False):
            raise Unlawful("busy", f"{AT_ONCE_MAX} commands are being carried out")
        try:
            return self._lawful(payload)
        except Exception as error:
            self._places.release()
            if isinstance(error, Unlawful):
                raise
            if isinstance(error, FlowrtError):
                raise Unlawful("key", str(error)) from None
            # Whatever bytes a library trips over, the next command is looked at all the same.
            raise Unlawful("malformed", f"it cannot be read: {error!r}") from None

    def _answer_to(self, head: Head) -> Head | None:
        """Where an answer goes; None where it must not."""
        topic = head.response_topic or f"{self._options.topic}/answers"
        allowed = topic_fault(topic) is None and matches(self._options.answered, topic)
        allowed = allowed and topic != self._options.topic  # an answer is no command
        if not allowed and head.response_topic is not None:
            return None
        return Head(topic, "application/json", correlation=head.correlation)

    def _lawful(self, payload: bytes) -> Order:
        """A command that may be carried out, and is written down. Raises `Unlawful` and `StartError`."""
        now = time()
        policy = self._arrivals.fetcher.policy()
        order = opened(payload, policy, self._options.topic, self._graph, now)
        if order.do == "status":  # may be asked twice
            return order
        seen = self._seen()
        seen.take(order, now)
        try:
            write_whole(self._record, json.dumps(seen.as_json()).encode())
        except OSError as error:
            raise Unlawful("busy", f"it cannot be written down: {error.strerror}") from None
        return order

    def _seen(self) -> Seen:
        try:
            return seen_from(parsed(self._record.read_bytes()))
        except FileNotFoundError:
            return Seen(0, {})
        except (OSError, ValueError) as error:
            raise Unlawful("busy", f"{self._record} cannot be read: {error}") from None

    # What is done.

    def _begin(self, order: Order, answer_to: Head | None) -> None:
        thread = threading.Thread(
            target=self._carry_out, args=(order, answer_to), name=f"flowrt/command/{order.do}", daemon=True
        )
        self._at_work = [*(one for one in self._at_work if one.is_alive()), thread]
        thread.start()

    def _carry_out(self, order: Order, answer_to: Head | None) -> None:
        try:
            self._answer(answer_to, {"taken": order.do, "id": order.id})
            for answer in self._arrivals.carry_out(order, self._graph, partial(_Progress, self._answer, answer_to)):
                self._answer(answer_to, {**answer, "id": order.id})
        finally:
            self._places.release()

    def _refuse(self, unlawful: Unlawful, answer_to: Head | None) -> None:
        self._count(unlawful.kind)
        self._emit(CommandRefused(self._graph, unlawful.kind, str(unlawful)))
        self._answer(answer_to, {"refused": unlawful.kind, "error": str(unlawful), "done": True})

    def _answer(self, answer_to: Head | None, answer: Mapping[str, Any]) -> None:
        if answer_to is None:
            return
        row = Batch([answer_to], [json.dumps(answer).encode()], [0], [monotonic()], range(1))
        with self._sending, contextlib.suppress(NodeFault, Stopped):
            self._sink.send(row)

    def _count(self, outcome: str) -> None:
        counts = self._counters().commands
        counts[outcome] = counts.get(outcome, 0) + 1


class _Progress:
    """Tells now and then how far a transfer is."""

    def __init__(
        self, answer: Callable[[Head | None, Mapping[str, Any]], None], answer_to: Head | None, source: str
    ) -> None:
        self._tell = partial(answer, answer_to)
        self._source = source
        self._next = monotonic()

    def __call__(self, done: int, total: int) -> None:
        if monotonic() >= self._next or done == total:
            self._next = monotonic() + PROGRESS_SECONDS
            self._tell({"fetching": self._source, "bytes": done, "of": total})


def connected(options: MqttOptions) -> MqttOptions:
    """The endpoint as the commands' own client sees it: no will, and an id of its own."""
    client = f"{options.client_id}-commands" if options.client_id is not None else None
    return options.model_copy(update={"client_id": client, "will": None, "birth": None, "receive_maximum": WAITING_MAX})


def _settle(item: Item) -> None:
    _, _, seq, tracker = item
    if tracker is not None:
        tracker.settle([seq])
