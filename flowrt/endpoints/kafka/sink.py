"""One `sink` operation of a Kafka endpoint: idempotent, every replica asked. See `flowrt.endpoints.base.Spoolable`."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

from flowrt.endpoints.base import EndpointCounters, Stopped, refuse
from flowrt.endpoints.kafka.client import (
    ANSWER_SECONDS,
    LOOK_SECONDS,
    KafkaError,
    KafkaException,
    Producer,
    Reach,
    made,
    settings,
)
from flowrt.endpoints.kafka.config import KafkaOptions
from flowrt.endpoints.kafka.names import topic_name_fault
from flowrt.endpoints.template import parse
from flowrt.errors import NodeFault
from flowrt.events import Emit, EndpointRefused
from flowrt.message import Batch, Head
from flowrt.operators.sink import SinkOperation
from flowrt.values import replace

POLL_SECONDS = 0.05

Refused = Callable[[Batch, NodeFault], None]


@dataclass(slots=True, eq=False)
class Sent:
    """A batch that the library has."""

    batch: Batch
    done: bytearray = field(init=False)

    def __post_init__(self) -> None:
        self.done = bytearray(len(self.batch))


class KafkaSink:
    """One producer a sink."""

    def __init__(
        self, endpoint: str, options: KafkaOptions, operation: SinkOperation, on_refused: Refused | None, emit: Emit
    ) -> None:
        """Raises `StartError` for options that the library does not take."""
        self.counters = EndpointCounters()
        self._endpoint, self._options, self._emit = endpoint, options, emit
        self._on_refused = on_refused
        self._content_type = operation.content_type
        self._topic, self._key = parse(operation.topic), parse(options.key)
        self._reach = Reach(endpoint, options.address, "as a producer", self.counters, emit)
        self._changed = threading.Condition()
        self._sent: deque[Sent] = deque()
        self._under_way = 0
        self._closed = False
        self._fatal = False
        self._lost: Callable[[], None] | None = None
        self._settled: list[tuple[Sent, int]] = []
        self._turned_away: list[tuple[Sent, int, Any]] = []
        self._producer = made(
            Producer,
            settings(options)
            | {
                "acks": "all",
                "enable.idempotence": True,  # order and no repetition over the library's own retries
                "message.timeout.ms": 0,  # it never gives a message up
                "message.max.bytes": options.message_max,
                "linger.ms": options.linger * 1000,
                "compression.type": options.compression,
                "queue.buffering.max.messages": options.max_inflight + 1000,
                "error_cb": self._failed,
            },
        )
        self._thread = threading.Thread(target=self._run, name=f"flowrt/{endpoint}/out", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def ready(self) -> bool:
        return self._reach.up

    def broken(self) -> bool:
        return self._fatal or (self._thread.ident is not None and not self._thread.is_alive() and not self._closed)

    def empty(self) -> bool:
        """It keeps nothing on disk."""
        return True

    def send(self, batch: Batch) -> None:
        self._send(batch, None)

    def offer(self, batch: Batch, patience: float) -> Batch | None:
        return self._send(batch, monotonic() + patience)

    def when_lost(self, then: Callable[[], None]) -> None:
        self._lost = then

    def hand_over(self, keep: Callable[[Batch], Batch]) -> None:
        """What the library has goes out as before; it only answers to another."""
        with self._changed:
            open_ = [(sent, [row for row, done in enumerate(sent.done) if not done]) for sent in self._sent]
        for sent, rows in open_:
            before = sent.batch
            kept = keep(before.take(rows))
            if kept.tracker is before.tracker:
                continue
            seqs = [0] * len(before)
            for row, seq in zip(rows, kept.seqs, strict=True):
                seqs[row] = seq
            with self._changed:
                late = [row for row in rows if sent.done[row]]
                sent.batch = replace(before, seqs=seqs, tracker=kept.tracker)
            _settle(before, [row for row in rows if row not in late])
            _settle(sent.batch, late)

    def flush(self, timeout: float) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: not self._under_way, timeout)

    def close(self) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join(5.0)

    # Sending.

    def _send(self, batch: Batch, until: float | None) -> Batch | None:
        """The rows for which there was no room before `until`."""
        at = 0
        while at < len(batch):
            room = self._await_room(until)
            if not room:
                return batch.slice(at, len(batch))
            part = batch.slice(at, min(at + room, len(batch)))
            at += len(part)
            self._produce(part)
        return None

    def _await_room(self, until: float | None) -> int:
        with self._changed:
            while True:
                if self._closed:
                    raise Stopped
                room = self._options.max_inflight - self._under_way
                if self._reach.up and room > 0:
                    return room
                left = None if until is None else until - monotonic()
                if left is not None and left <= 0:
                    return 0
                self._changed.wait(left)

    def _produce(self, batch: Batch) -> None:
        addressed: list[tuple[str, bytes, list[tuple[str, bytes]]]] = []
        keep: list[bool] = []
        for row in range(len(batch)):
            try:
                addressed.append(self._address(batch.heads[row], batch.payloads[row]))
                keep.append(True)
            except NodeFault as fault:
                keep.append(False)
                refuse(batch.slice(row, row + 1), fault, self.counters, self._on_refused)
        sound = batch if all(keep) else batch.select(keep)
        if not len(sound):
            return
        sent = Sent(sound)
        with self._changed:
            self._sent.append(sent)
            self._under_way += len(sound)
        for row, (topic, key, headers) in enumerate(addressed):
            self._produce_one(sent, row, topic, key, headers)
        self.counters.messages_out += len(sound)
        self.counters.bytes_out += sum(map(len, sound.payloads))

    def _produce_one(self, sent: Sent, row: int, topic: str, key: bytes, headers: list[tuple[str, bytes]]) -> None:
        while True:
            try:
                self._producer.produce(
                    topic,
                    sent.batch.payloads[row],
                    key,
                    headers=headers,
                    on_delivery=partial(self._delivered, sent, row),
                )
                return
            except BufferError:
                with self._changed:
                    self._changed.wait(POLL_SECONDS)
                    if self._closed:
                        raise Stopped from None
            except KafkaException as error:
                self._delivered(sent, row, error.args[0], None)
                self._work_off()
                return

    def _address(self, head: Head, payload: bytes) -> tuple[str, bytes, list[tuple[str, bytes]]]:
        """Topic, key and headers. Raises `NodeFault`."""
        topic, key = self._topic.fill(head, payload), self._key.fill(head, payload)
        if fault := topic_name_fault(topic):
            raise NodeFault("topic", f"'{topic[:200]}': {fault}")
        headers = [(name, value.encode()) for name, value in head.properties]
        content_type = head.content_type or self._content_type
        if content_type is not None:
            headers.append(("content-type", content_type.encode()))
        return topic, key.encode(), headers

    # The thread.

    def _run(self) -> None:
        asked = float("-inf")
        while not self._closed:
            if not self._reach.up and monotonic() - asked > LOOK_SECONDS:
                asked = monotonic()
                self._ask()
            self._producer.poll(POLL_SECONDS)
            self._work_off()
        self._producer.purge()
        self._producer.poll(0)
        self.counters.connected = 0

    def _ask(self) -> None:
        try:
            self._producer.list_topics(timeout=ANSWER_SECONDS)
        except KafkaException:  # why, the library has told by then
            if self._reach.away() and self._lost is not None:
                self._lost()
            return
        self._up()

    def _up(self) -> None:
        if self._reach.answered():
            with self._changed:
                self._changed.notify_all()

    def _delivered(self, sent: Sent, row: int, error: Any, _: Any) -> None:
        if error is None:
            self._settled.append((sent, row))
        elif not self._closed:
            self._turned_away.append((sent, row, error))

    def _work_off(self) -> None:
        """What was confirmed or refused since the last time, batch by batch."""
        settled, self._settled = self._settled, []
        refused, self._turned_away = self._turned_away, []
        if not settled and not refused:
            return
        by_batch: dict[Sent, list[int]] = {}
        for sent, row in settled:
            by_batch.setdefault(sent, []).append(row)
        with self._changed:
            for sent, row in [*settled, *((sent, row) for sent, row, _ in refused)]:
                sent.done[row] = 1
            batches = {sent: sent.batch for sent in by_batch} | {sent: sent.batch for sent, _, _ in refused}
            self._under_way -= len(settled) + len(refused)
            while self._sent and all(self._sent[0].done):
                self._sent.popleft()
            self._changed.notify_all()
        for sent, rows in by_batch.items():
            _settle(batches[sent], rows)
        for sent, row, error in refused:
            words = NodeFault("send", f"Kafka refused the message: {error.str()}")
            refuse(batches[sent].slice(row, row + 1), words, self.counters, self._on_refused)
        if settled:
            self._up()

    def _failed(self, error: Any) -> None:
        if error.fatal():
            self._fatal = True
            self._emit(EndpointRefused(self._endpoint, self._options.address, error.str()))
        elif self._reach.failed(error):
            if self._lost is not None:
                self._lost()
        elif error.code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
            self._emit(EndpointRefused(self._endpoint, self._options.address, error.str()))


def _settle(batch: Batch, rows: Sequence[int]) -> None:
    if batch.tracker is not None and rows:
        batch.tracker.settle([batch.seqs[row] for row in rows])
