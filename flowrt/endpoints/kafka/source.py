"""One `source` operation of a Kafka endpoint: a member of a consumer group.

An offset is committed when all messages before it are out, by a tracker for each partition: a crash repeats what was
under way and loses nothing. Order within a partition is kept.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from time import monotonic, time_ns
from typing import Any

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import Deliver, EndpointCounters, Stopped
from flowrt.endpoints.kafka.client import (
    ANSWER_SECONDS,
    LOOK_SECONDS,
    REFUSALS,
    Consumer,
    KafkaException,
    Reach,
    TopicPartition,
    made,
    settings,
)
from flowrt.endpoints.kafka.config import KafkaOptions
from flowrt.events import Emit, EndpointRefused
from flowrt.message import Batch, Head, SharedHeads
from flowrt.operators.source import SourceOperation

BATCH_MESSAGES = 512
POLL_SECONDS = 0.1
ATTEND_SECONDS = 0.01
STALLED_SECONDS = 1.0
"""A graph that takes nothing for so long is not just busy."""
LONGEST_PAUSE = 86_400_000
"""Milliseconds that a graph may hold this source up before the group takes its partitions away."""
KEY = "kafka.key"
"""User property with a message's key."""
CONTENT_TYPE = "content-type"
"""The header that is a message's content type, not a property."""

log = logging.getLogger(__name__)


class Partition:
    """What was read of one partition and is not out."""

    def __init__(self) -> None:
        self.tracker = Tracker(self._release)
        self.next: int | None = None
        """The offset to commit, once something is out."""
        self._offsets: deque[int] = deque()

    def open(self, offsets: Sequence[int]) -> range:
        self._offsets.extend(offsets)
        return self.tracker.open(len(offsets))

    def _release(self, count: int) -> None:
        for _ in range(count):
            self.next = self._offsets.popleft() + 1


class KafkaSource:
    """See `flowrt.endpoints.base.Source`."""

    def __init__(
        self, endpoint: str, options: KafkaOptions, operation: SourceOperation, group: str, emit: Emit
    ) -> None:
        """Raises `StartError` for options that the library does not take."""
        self.counters = EndpointCounters()
        self._endpoint, self._options, self._emit = endpoint, options, emit
        self._topics = list(operation.topics)
        self._reach = Reach(endpoint, options.address, "as a consumer", self.counters, emit)
        self._partitions: dict[tuple[str, int], Partition] = {}
        self._committed: dict[tuple[str, int], int] = {}
        self._commit_at = 0.0
        self._owned: set[tuple[str, int]] = set()
        self._assigned = False
        self._asked = float("-inf")
        self._full_since: float | None = None
        self._paused = False
        self._stopping, self._closing = threading.Event(), threading.Event()
        self._last_time = 0
        self._heads = SharedHeads()
        self._consumer = made(
            Consumer,
            settings(options)
            | {
                "group.id": group,
                "auto.offset.reset": options.start,
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": int(options.session_timeout * 1000),
                "heartbeat.interval.ms": int(min(3.0, options.session_timeout / 4) * 1000),
                "max.poll.interval.ms": LONGEST_PAUSE,
                "queued.max.messages.kbytes": 16_384,
                "topic.metadata.refresh.interval.ms": 30_000,
                "error_cb": self._failed,
            },
        )
        self._thread: threading.Thread | None = None

    def start(self, deliver: Deliver, ended: Callable[[], None]) -> None:  # noqa: ARG002 - a topic has no end
        name = f"flowrt/{self._endpoint}/in"
        self._thread = threading.Thread(target=self._run, args=(deliver,), name=name, daemon=True)
        self._thread.start()

    def ready(self) -> bool:
        """Whether the group has given it its partitions."""
        return self._assigned

    def broken(self) -> bool:
        thread = self._thread
        return thread is not None and not thread.is_alive() and not self._closing.is_set()

    def stop(self) -> None:
        self._stopping.set()

    def close(self) -> None:
        self._stopping.set()
        self._closing.set()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10.0)

    # Its thread.

    def _run(self, deliver: Deliver) -> None:
        self._consumer.subscribe(self._topics, on_assign=self._gained, on_revoke=self._revoked, on_lost=self._lost)
        try:
            while not self._closing.is_set():
                if (room := self._room()) > 0:
                    self._read(deliver, room)
                else:
                    self._attend(deliver)
                self._commit()
                self._ask()
            self._commit(last=True)
        finally:
            with suppress(KafkaException, RuntimeError):
                self._consumer.close()
            self.counters.connected = 0

    def _ask(self) -> None:
        """Whether the cluster is there, should nothing come of it for a while."""
        now = monotonic()
        if self._reach.up or now - self._asked < LOOK_SECONDS:
            return
        self._asked = now
        try:
            self._consumer.list_topics(self._topics[0], timeout=ANSWER_SECONDS)
        except KafkaException:  # why, the library tells
            self._reach.away()
        else:
            self._reach.answered()

    def _room(self) -> int:
        """How many messages may be read now."""
        if self._stopping.is_set():
            return 0
        room = self._options.max_inflight - self._under_way()
        if self._full_since is not None and room * 2 >= self._options.max_inflight:
            self._full_since = None
            if self._paused:
                self._paused = False
                self._consumer.resume(self._consumer.assignment())
        elif self._paused:
            return 0
        return room

    def _attend(self, deliver: Deliver) -> None:
        """Nothing is to be read. For long, that would keep the group waiting, which may want partitions for another
        member: so the partitions are paused, which throws away what was fetched of them, and the group is heard."""
        now = monotonic()
        if self._full_since is None:
            self._full_since = now
        if now - self._full_since < STALLED_SECONDS:
            self._closing.wait(ATTEND_SECONDS)
            return
        if not self._paused:
            self._paused = True
            self._consumer.pause(self._consumer.assignment())
        message = self._consumer.poll(POLL_SECONDS)
        if message is not None:
            self._take(deliver, [message])

    def _read(self, deliver: Deliver, room: int) -> None:
        try:
            found = self._consumer.consume(min(BATCH_MESSAGES, room), POLL_SECONDS)
        except KafkaException as error:
            self._emit(EndpointRefused(self._endpoint, self._options.address, str(error)))
            self._closing.wait(1.0)
            return
        self._take(deliver, found)

    def _take(self, deliver: Deliver, found: Sequence[Any]) -> None:
        sound = [message for message in found if message.error() is None]
        for message in found:
            if message.error() is not None:
                self._failed(message.error())
        if sound:
            self._reach.answered()
        for messages in _by_partition(sound):
            if _place(messages[0]) not in self._owned:
                continue  # another member has it since this was fetched, and reads it again
            try:
                deliver(self._batch(messages))
            except Stopped:
                self._stopping.set()
                return

    def _batch(self, messages: Sequence[Any]) -> Batch:
        count = len(messages)
        partition = self._partitions.setdefault(_place(messages[0]), Partition())
        payloads = [message.value() or b"" for message in messages]
        self.counters.messages_in += count
        self.counters.bytes_in += sum(map(len, payloads))
        start = max(self._last_time + 1, (time_ns() // 1_000_000) << 20)
        self._last_time = start + count - 1
        seqs = partition.open([message.offset() for message in messages])
        times = range(start, start + count)
        return Batch(
            [self._heads.same(_head(message)) for message in messages],
            payloads,
            times,
            [monotonic()] * count,
            seqs,
            partition.tracker,
        )

    def _under_way(self) -> int:
        return sum(partition.tracker.open_count for partition in self._partitions.values())

    # Offsets.

    def _commit(self, *, last: bool = False) -> None:
        now = monotonic()
        if now < self._commit_at and not last:
            return
        self._commit_at = now + self._options.commit_every
        due = [
            TopicPartition(topic, number, partition.next)
            for (topic, number), partition in list(self._partitions.items())
            if partition.next is not None and self._committed.get((topic, number)) != partition.next
        ]
        if not due:
            return
        try:
            done = self._consumer.commit(offsets=due, asynchronous=False)
        except KafkaException as error:  # tried again with the next; a crash before that repeats messages
            log.debug("commit of %s: %s", self._endpoint, error)
            return
        for one in done:
            if one.error is None:
                self._committed[one.topic, one.partition] = one.offset

    # What the library calls, on the source's thread but for errors.

    def _gained(self, _: Any, partitions: Sequence[Any]) -> None:
        self._consumer.incremental_assign(partitions)
        # The library remembers of a partition that it was paused, also while it was taken away.
        (self._consumer.pause if self._paused else self._consumer.resume)(partitions)
        self._owned.update((one.topic, one.partition) for one in partitions)
        self._assigned = True
        self._reach.answered()

    def _revoked(self, _: Any, partitions: Sequence[Any]) -> None:
        self._commit(last=True)
        self._lost(_, partitions)

    def _lost(self, _: Any, partitions: Sequence[Any]) -> None:
        """Another member has them now, and reads again what is under way here."""
        for one in partitions:
            self._owned.discard((one.topic, one.partition))
            self._partitions.pop((one.topic, one.partition), None)
            self._committed.pop((one.topic, one.partition), None)
        with suppress(KafkaException):
            self._consumer.incremental_unassign(partitions)

    def _failed(self, error: Any) -> None:
        self._reach.failed(error)
        if error.code() not in REFUSALS and error.code() >= 0 and not error.retriable():
            self._emit(EndpointRefused(self._endpoint, self._options.address, error.str()))


def _by_partition(messages: Sequence[Any]) -> list[list[Any]]:
    """Messages of one partition together, in their order."""
    found: dict[tuple[str, int], list[Any]] = {}
    for message in messages:
        found.setdefault(_place(message), []).append(message)
    return list(found.values())


def _place(message: Any) -> tuple[str, int]:
    return message.topic(), message.partition()


def _head(message: Any) -> Head:
    key, pairs = message.key(), [(name, _text(value)) for name, value in message.headers() or ()]
    content_type = next((value for name, value in pairs if name == CONTENT_TYPE), None)
    properties = [(name, value) for name, value in pairs if name != CONTENT_TYPE]
    if key is not None:
        properties.append((KEY, _text(key)))
    return Head(message.topic(), content_type, tuple(properties))


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "backslashreplace")
