"""Ends that are no MQTT broker: a file that is appended to and one that grows; a Kafka cluster of one broker.

The cluster is the one that librdkafka brings along for tests: it speaks the protocol over TCP, keeps consumer groups
and offsets, and lives in the bench's own process, so that nothing that is done to flowrt touches it.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.faults.ledger import Ledger
from benchmarks.faults.systems import RECEIVE_MAXIMUM, Where
from benchmarks.faults.traffic import NUMBERED
from benchmarks.processes import BenchError

LOOK_SECONDS = 0.02
SESSION_SECONDS = 6
"""Of a consumer that is gone: so long its partitions stay its own."""
IN, OUT = "in.jsonl", "out.jsonl"


class _Reader:
    """A thread that tells the ledger of each message that came out."""

    def __init__(self, ledger: Ledger, read: Callable[[], bytes]) -> None:
        self._ledger, self._read = ledger, read
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="collector", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._ended.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            for found in NUMBERED.finditer(self._read()):
                self._ledger.came((int(found[1]), int(found[2])))


class Files:
    """A line a message."""

    under_way_max = 1

    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.where = Where(f"file: {{path: {IN}, follow: true}}", f"file: {{path: {OUT}}}", topics="in/all")
        self._ledger = ledger
        self._out = folder / OUT
        self._at = 0
        self._fd = os.open(folder / IN, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._reader = _Reader(ledger, self._come)

    def publish(self, topic: int, payload: str, done: Callable[[], None]) -> None:  # noqa: ARG002 - it stands in it
        os.write(self._fd, payload.encode() + b"\n")
        _note(self._ledger, payload)
        done()

    def close(self) -> None:
        self._reader.close()
        os.close(self._fd)

    def _come(self) -> bytes:
        """Whole lines that were appended since the last time."""
        if not self._out.exists():
            return b""
        with self._out.open("rb") as file:
            file.seek(self._at)
            data = file.read()
        whole = data[: data.rfind(b"\n") + 1]
        self._at += len(whole)
        return whole


class Kafka:
    """Messages of one number keep their partition, and so their order."""

    under_way_max = 200

    def __init__(self, folder: Path, ledger: Ledger) -> None:  # noqa: ARG002 - as `Files`
        try:
            import confluent_kafka
        except ImportError:
            raise BenchError("confluent-kafka is missing: pip install 'flowrt[kafka]'") from None
        self._kafka: Any = confluent_kafka
        self._ledger = ledger
        self._cluster = confluent_kafka.Producer(
            {"test.mock.num.brokers": 1, "bootstrap.servers": "none", "log_level": 0}
        )
        (broker,) = self._cluster.list_topics(timeout=10).brokers.values()
        address = f"{broker.host}:{broker.port}"
        client = f'brokers: ["{address}"], maxInflight: {RECEIVE_MAXIMUM}'
        source = f"{client}, group: faults, commitEvery: 200ms, sessionTimeout: {SESSION_SECONDS}s"
        self.where = Where(f"kafka: {{{source}}}", f"kafka: {{{client}}}", topics="in", topic="out")
        settings = {"bootstrap.servers": address, "log_level": 0}
        self._producer = confluent_kafka.Producer(settings | {"linger.ms": 2, "enable.idempotence": True})
        self._consumer = confluent_kafka.Consumer(
            settings | {"group.id": "bench", "auto.offset.reset": "earliest", "enable.auto.commit": False}
        )
        self._made_in()
        self._assign()
        self._reader = _Reader(ledger, self._come)

    def publish(self, topic: int, payload: str, done: Callable[[], None]) -> None:
        def told(error: object, _: object) -> None:
            if error is None:
                _note(self._ledger, payload)
                done()

        self._producer.produce("in", payload, str(topic), on_delivery=told)
        self._producer.poll(0)

    def close(self) -> None:
        self._reader.close()
        self._consumer.close()

    def _made_in(self) -> None:
        """Topics are made by who asks for them."""
        for name in ("in", "out"):
            self._cluster.list_topics(name, timeout=10)

    def _assign(self) -> None:
        partitions = self._consumer.list_topics("out", timeout=10).topics["out"].partitions
        if not partitions:
            raise BenchError("the cluster has made no topic")
        self._consumer.assign([self._kafka.TopicPartition("out", number, 0) for number in partitions])

    def _come(self) -> bytes:
        self._producer.poll(0)
        return b"\n".join(message.value() or b"" for message in self._consumer.consume(500, 0.05))


def _note(ledger: Ledger, payload: str) -> None:
    """What the system is given, once and in this order: whatever it reads again was given to it here."""
    found = NUMBERED.search(payload.encode())
    if found is not None:
        ledger.delivered((int(found[1]), int(found[2])))


ENDS: dict[str, Callable[[Path, Ledger], Any]] = {"file": Files, "kafka": Kafka}


def needs_kafka() -> str | None:
    """Why a cluster cannot be had here, if it cannot."""
    try:
        import confluent_kafka  # noqa: F401
    except ImportError:
        return "confluent-kafka is not installed"
    return None
