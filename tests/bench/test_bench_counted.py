"""The hot path may not become dearer unnoticed: instructions and calls a message, and a batch, have bounds.

Counts are exact and the same on a busy machine; the bounds leave a fifth of room for other versions of Python. Who
makes the path cheaper lowers them.
"""

from __future__ import annotations

import pytest
from counting import blocks_kept, calls, cost, instructions

from benchmarks.models.make_net import PATH as MODEL
from benchmarks.parts import nowhere, parts
from flowrt.counters import NodeCounters
from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.mqtt.envelope import varint
from flowrt.endpoints.mqtt.frames import Envelope, encode_0, encode_acked
from flowrt.endpoints.mqtt.scan import Scanner
from flowrt.runtime.ends import Entrance
from flowrt.runtime.inbox import Inbox
from flowrt.testing import batch_of

READING = b'{"v":[0,0.37,0.74,1.11,1.48,1.85,2.22,2.59,2.96,3.33,3.7,4.07,4.44,4.81,5.18,5.55]}'
TOPIC = b"\x00\x04in/a"


def publishes(count: int, qos: int) -> bytes:
    """PUBLISH packets as a broker sends them, MQTT 5, without properties."""
    packets = []
    for packet_id in range(1, count + 1):
        body = TOPIC + (packet_id.to_bytes(2, "big") if qos else b"") + b"\0" + READING
        packets.append(bytes((0x30 | qos << 1,)) + varint(len(body)) + body)
    return b"".join(packets)


def scanned(qos: int):
    scanner = Scanner(five=True, maximum_packet=2**20)

    def job(count):
        data = publishes(count, qos)
        return lambda: scanner.feed(data)

    return job


def encoded(qos: int):
    envelope = Envelope(b"\x00\x05out/x", b"\0", qos=qos, retain=False)

    def job(count):
        payloads = [READING] * count
        if qos:
            return lambda: encode_acked(envelope, payloads, range(1024, 1024 + count))
        return lambda: encode_0(envelope, payloads)

    return job


def carried(count):
    """A source's delivery, an inbox, and out of it again."""
    entrance, inbox = Entrance(NodeCounters(), "wait"), Inbox(4096, 2**25)
    entrance.inboxes = [inbox]
    batch = batch_of([READING] * count)

    def job():
        entrance.deliver(batch)
        inbox.take(4096)

    return job


def tracked(count):
    tracker = Tracker(lambda released: None)
    return lambda: tracker.settle(tracker.open(count))


@pytest.fixture(scope="module")
def made():
    with parts() as made:
        yield made


@pytest.fixture(scope="module")
def chains(made):
    """Graphs' nodes between source and sink, by name."""
    return {
        "pass-through": made.chain([made.map("passthrough")], nowhere),
        "pipeline": made.chain([made.map("bench-parse"), made.inference(MODEL), made.map("bench-score")], nowhere),
    }


def accepted(first):
    def job(count):
        batch = batch_of([READING] * count)
        return lambda: first.accept(batch)

    return job


@pytest.mark.parametrize(
    ("job", "per_message", "per_batch"),
    [
        (scanned(0), 150, 230),
        (scanned(1), 175, 230),
        (carried, 0, 360),
        (tracked, 0, 240),
        (encoded(0), 0, 60),
        (encoded(1), 0, 80),
    ],
    ids=["scan QoS 0", "scan QoS 1", "source to stage", "tracker", "encode QoS 0", "encode QoS 1"],
)
def test_instructions_of_the_ends(job, per_message, per_batch):
    found = cost(instructions, job)

    assert (found.message <= per_message, found.batch <= per_batch) == (True, True), found


@pytest.mark.parametrize(("name", "per_message", "per_batch"), [("pass-through", 18, 1400), ("pipeline", 50, 3600)])
def test_instructions_of_nodes(chains, name, per_message, per_batch):
    found = cost(instructions, accepted(chains[name]))

    assert (found.message <= per_message, found.batch <= per_batch) == (True, True), found


@pytest.mark.parametrize(("name", "per_message", "per_batch"), [("pass-through", 0.1, 105), ("pipeline", 0.5, 280)])
def test_calls_of_nodes(chains, name, per_message, per_batch):
    found = cost(calls, accepted(chains[name]))

    assert (found.message <= per_message, found.batch <= per_batch) == (True, True), found


def test_blocks_a_scanned_message_keeps():
    """A payload each, and nothing else: heads are shared, columns are lists."""
    found = cost(blocks_kept, scanned(0))

    assert found.message <= 1.05, found
