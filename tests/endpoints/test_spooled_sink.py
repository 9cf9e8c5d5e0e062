"""A sink with a spool: straight through, through the disk, and back, in order and with every message accounted for."""

import errno
import threading
import time
from contextlib import contextmanager

import pytest
from brokers import Broker, needs_broker
from peers import PATIENCE, Graph, ends, eventually

from flowrt.delivery.spool import log as spool_log
from flowrt.delivery.spool.segment import segment_paths
from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.base import EndpointCounters, Stopped
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.registry import Endpoints, spool_folder
from flowrt.endpoints.spooled import SpooledSink
from flowrt.errors import NodeFault
from flowrt.events import BreakerOpened, MessagesDropped, SpoolDrained, SpoolFound, SpoolStarted, StoreFailed
from flowrt.message import Batch
from flowrt.operators.sink import SinkOperation
from flowrt.testing import batch_of
from flowrt.values import replace

HURRY = {"after": "50ms", "gather": "0"}


class Far:
    """The other side of a sink, as a test wants it: there or away, confirming at once, later or never."""

    def __init__(self, *, there=True, confirms=True, refuses=()):
        self.counters = EndpointCounters()
        self.there, self.confirms, self.refuses = there, confirms, refuses
        self.got, self.under_way, self.on_refused = [], [], None
        self.closed = False
        self.changed = threading.Condition()
        self.lost = None
        self.gate = threading.Event()
        self.gate.set()

    def start(self):
        pass

    def ready(self):
        return self.there

    def broken(self):
        return False

    def empty(self):
        return True

    def send(self, batch):
        self.gate.wait(PATIENCE)
        assert self.offer(batch, PATIENCE) is None

    def offer(self, batch, patience):
        with self.changed:
            self.changed.wait_for(lambda: self.there or self.closed, patience)
            if self.closed:
                raise Stopped
            if not self.there:
                return batch
            bad = [payload in self.refuses for payload in batch.payloads]
            for row, refused in enumerate(bad):
                if refused:
                    self.on_refused(batch.slice(row, row + 1), NodeFault("busy", "quota exceeded"))
            batch = batch.select([not refused for refused in bad])
            self.got += batch.payloads
            self.under_way.append(batch)
        if self.confirms:
            self.confirm()
        return None

    def confirm(self):
        with self.changed:
            done, self.under_way = self.under_way, []
        for batch in done:
            batch.tracker.settle(batch.seqs)

    def when_lost(self, then):
        self.lost = then

    def hand_over(self, keep):
        for place, before in enumerate(list(self.under_way)):
            kept = self.under_way[place] = keep(before)
            if kept.tracker is not before.tracker:
                before.tracker.settle(before.seqs)

    def go(self):
        self.there = False
        self.lost()

    def come_back(self):
        with self.changed:
            self.there = True
            self.changed.notify_all()

    def flush(self, timeout):
        return not self.under_way

    def close(self):
        with self.changed:
            self.closed = True
            self.changed.notify_all()


class Bench:
    """A spooled sink, the far side, and a source that counts what it may acknowledge."""

    def __init__(self, folder, far, **options):
        self.far, self.events, self.released = far, [], 0
        self.letters = []
        breaker = options.pop("breaker", {})
        operation = SinkOperation.model_validate(
            {"operationType": "sink", "name": "out", "spool": {**HURRY, **options}, "breaker": breaker}
        )
        self.folder = folder / "spool"
        self.sink = SpooledSink("plant", operation, self.folder, self.events.append)
        far.on_refused = self.sink.refused(self.refused)
        self.sink.connect(far)
        self.tracker = Tracker(self.release)
        self.sink.start()

    def release(self, count):
        self.released += count

    def refused(self, rows, _fault):
        self.letters += rows.payloads
        rows.tracker.settle(rows.seqs)

    def send(self, *payloads):
        self.sink.send(batch_of(payloads, tracker=self.tracker))

    def said(self, kind):
        return [event for event in self.events if isinstance(event, kind)]


@pytest.fixture
def bench(tmp_path):
    opened = []

    def make(far, **options):
        opened.append(Bench(tmp_path, far, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.sink.close()


def numbers(start, stop):
    return [b"%d" % number for number in range(start, stop)]


def test_while_the_other_side_is_there_nothing_touches_the_disk(bench):
    one = bench(Far())

    one.send(b"a", b"b")

    assert (one.far.got, one.released, one.folder.exists()) == ([b"a", b"b"], 2, False)


def test_what_cannot_be_sent_is_done_with_once_on_disk_and_sent_in_order_later(bench):
    one = bench(Far(there=False))
    for payload in numbers(0, 50):
        one.send(payload)
    eventually(lambda: one.released == 50)
    assert one.said(SpoolStarted)

    one.far.come_back()
    one.send(*numbers(50, 60))
    eventually(lambda: len(one.far.got) == 60 and one.sink.empty())

    assert one.far.got == numbers(0, 60)
    assert one.sink.counters.drained == one.sink.counters.spooled
    eventually(lambda: segment_paths(one.folder) == [])
    one.send(b"straight")
    assert one.said(SpoolDrained)
    assert one.far.got[-1] == b"straight"


def test_what_is_under_way_when_the_other_side_goes_is_written_down_too(bench):
    one = bench(Far(confirms=False))
    one.send(*numbers(0, 10))
    one.far.there = False

    one.send(b"10")
    eventually(lambda: one.released == 11)

    one.far.come_back()
    eventually(lambda: len(one.far.got) == 11)
    one.far.confirm()
    eventually(lambda: segment_paths(one.folder) == [])
    assert one.far.got == numbers(0, 11)


def test_what_is_under_way_when_the_other_side_goes_is_written_down_although_nothing_follows(bench):
    """A source whose receive maximum is under way gets no further message by which to find out."""
    one = bench(Far(confirms=False))
    one.send(*numbers(0, 10))

    one.far.go()
    eventually(lambda: one.released == 10)

    one.far.come_back()
    one.far.confirm()
    eventually(one.sink.empty)
    one.send(b"straight")
    assert one.far.got == [*numbers(0, 10), b"straight"]
    assert one.sink.counters.spooled == 10


def test_a_link_that_is_back_in_time_or_had_nothing_under_way_writes_nothing(bench):
    one = bench(Far(), after="100ms")
    one.send(b"a")
    one.far.go()
    one.far.come_back()
    one.far.confirms = False
    one.send(b"b")
    one.far.go()
    one.far.come_back()
    time.sleep(0.3)  # until well after both would have been written down

    assert (one.released, one.folder.exists(), one.events) == (1, False, [])


def test_what_was_written_down_while_under_way_stays_on_disk_through_the_next_outage(bench):
    one = bench(Far(confirms=False))
    for number in range(3):
        one.far.there = True
        one.send(b"%d" % number)
        one.far.go()
        eventually(lambda number=number: one.released == number + 1)
        one.far.come_back()
        eventually(lambda: one.sink.direct)
    one.sink.close()

    two = bench(Far())
    eventually(two.sink.empty)
    assert two.far.got == numbers(0, 3)


def test_nothing_passes_by_what_was_read_from_disk_and_is_still_to_be_sent(bench):
    one = bench(Far(there=False))
    one.send(*numbers(0, 3))
    eventually(lambda: one.released == 3)
    one.far.gate.clear()
    one.far.come_back()
    eventually(lambda: one.sink.log.waiting == 0)  # all of it is in the hands of who sends, at the gate

    one.sink.back_to_direct()
    one.send(b"3")
    one.far.gate.set()
    eventually(lambda: len(one.far.got) == 4)

    assert one.far.got == numbers(0, 4)


def test_a_process_that_ends_leaves_the_next_one_what_was_not_confirmed(bench):
    first = bench(Far(confirms=False))
    first.send(*numbers(0, 4))
    first.far.there = False
    first.send(*numbers(4, 8))
    eventually(lambda: first.released == 8)
    first.sink.close()

    second = bench(Far())
    eventually(lambda: len(second.far.got) == 8 and second.sink.empty())

    assert second.far.got == numbers(0, 8)
    assert second.said(SpoolFound)[0].messages == 8


def test_a_stop_writes_down_what_the_other_side_has_not_confirmed(bench):
    one = bench(Far(confirms=False))
    one.send(*numbers(0, 5))
    one.far.there = False

    assert one.sink.flush(PATIENCE)

    assert one.released == 5
    one.sink.close()
    two = bench(Far())
    eventually(lambda: two.far.got == numbers(0, 5))


@pytest.mark.parametrize(
    ("when_full", "kept"), [("oldest", numbers(20, 30)), ("newest", numbers(0, 10)), ("wait", numbers(0, 10))]
)
def test_a_full_spool_does_what_it_is_told_and_counts(bench, when_full, kept):
    one = bench(Far(there=False), messages=10, whenFull=when_full)
    for count, payload in enumerate(numbers(0, 30), 1):
        one.send(payload)
        if when_full != "wait" or count <= 10:  # one by one, since what is written together is dropped together
            eventually(lambda count=count: one.released == count)
    assert one.released == (10 if when_full == "wait" else 30)

    one.far.come_back()
    want = numbers(0, 30) if when_full == "wait" else kept
    eventually(lambda: len(one.far.got) == len(want))

    assert one.far.got == want
    dropped = one.sink.counters.dropped.get("spoolFull", 0)
    assert dropped == 30 - len(want)
    assert bool(one.said(MessagesDropped)) == bool(dropped)


def test_a_disk_that_is_full_holds_messages_up_and_loses_none(bench, monkeypatch):
    far = Far(there=False)
    full = threading.Event()
    full.set()
    real = spool_log.create

    def create(*arguments):
        if full.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*arguments)

    monkeypatch.setattr(spool_log, "create", create)
    one = bench(far)
    one.send(*numbers(0, 3))
    eventually(lambda: one.said(StoreFailed))
    assert one.said(StoreFailed)[0].reason == "No space left on device"
    assert one.released == 0

    full.clear()
    eventually(lambda: one.released == 3)
    far.come_back()
    eventually(lambda: far.got == numbers(0, 3))


def test_what_is_under_way_is_not_left_out_because_the_disk_was_full_when_the_link_came_back(bench, monkeypatch):
    """Else it would hold its source up through the next outage, should something wait on disk by then."""

    def create(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spool_log, "create", create)
    one = bench(Far(confirms=False))
    one.send(*numbers(0, 3))
    one.far.go()
    eventually(lambda: one.said(StoreFailed))
    one.far.come_back()
    told = len(one.said(StoreFailed))
    eventually(lambda: len(one.said(StoreFailed)) >= told + 2)
    assert (one.sink.adopting, one.released) == (True, 0)

    one.far.confirm()
    eventually(lambda: one.released == 3 and one.sink.direct)


def test_a_disk_that_cannot_be_written_is_passed_by_once_the_other_side_is_back(bench, tmp_path):
    (tmp_path / "spool").write_text("a file where the folder should be")
    one = bench(Far(there=False))
    one.send(*numbers(0, 3))
    eventually(lambda: one.said(StoreFailed))

    one.far.come_back()
    eventually(lambda: one.released == 3)
    one.send(b"3")

    eventually(lambda: one.far.got == numbers(0, 4))


def test_a_sink_that_is_turned_away_pauses_and_tries_one_at_a_time(bench):
    far = Far(refuses=set(numbers(0, 6)))
    one = bench(far, breaker={"refusals": 3, "within": "1h", "pause": "300ms"})
    one.send(*numbers(0, 3))
    assert one.said(BreakerOpened)[0].refusals == 3

    one.send(*numbers(3, 10))
    eventually(lambda: len(far.got) == 4)

    assert far.got == numbers(6, 10)
    assert one.letters == numbers(0, 6)
    eventually(lambda: one.sink.empty())
    assert one.released == 10


@contextmanager
def spooled(broker, state, **spool):
    """A sink of a real endpoint, and what it said."""
    events = []
    options = MqttOptions.model_validate({"host": broker.host, "port": broker.port, "reconnect": {"max": "200ms"}})
    ends = Endpoints("g", {"plant": options}, emit=events.append, state=state)
    operation = SinkOperation.model_validate(
        {"operationType": "sink", "name": "out", "endpoint": "plant", "topic": "out/{topic[1]}",
         "qos": spool.pop("qos", 1), "spool": {**HURRY, **spool}}
    )  # fmt: skip
    sink = ends.sink(operation, lambda rows, fault: events.append((rows, fault)))
    sink.start()
    try:
        yield sink, events
    finally:
        sink.close()


@needs_broker
@pytest.mark.parametrize("qos", [1, 2])
def test_a_broker_that_goes_for_a_while_gets_everything_in_order(tmp_path, qos):
    released = []
    tracker = Tracker(released.append)
    graph = Graph()
    with (
        Broker(persistence=True) as broker,
        ends(broker, "5", clientId="reader", sessionExpiry="1h") as reader,
        spooled(broker, tmp_path, qos=qos, drainRate=1e6) as (sink, events),
    ):
        reader.source(graph, "out/#", qos=qos)
        eventually(sink.ready)
        for start in range(0, 100, 10):
            sink.send(batch_of(numbers(start, start + 10), topics=["in/a"] * 10, tracker=tracker))
        graph.expect(100)
        broker.stop()
        for start in range(100, 500, 20):
            sink.send(batch_of(numbers(start, start + 20), topics=["in/a"] * 20, tracker=tracker))
        eventually(lambda: sum(released) == 500)  # while the broker is away

        broker.start()
        eventually(lambda: len({message.payload for message in graph.messages}) == 500)
        eventually(sink.empty)
        seen = list(dict.fromkeys(message.payload for message in graph.messages))
        eventually(lambda: segment_paths(spool_folder(tmp_path, "g", "out")) == [])
    assert seen == numbers(0, 500)
    assert [event for event in events if isinstance(event, SpoolDrained)]


@needs_broker
@pytest.mark.parametrize("qos", [1, 2])
def test_a_broker_that_goes_before_it_has_confirmed_the_last_messages_holds_no_source_up(tmp_path, qos):
    released = []
    tracker = Tracker(released.append)
    with Broker(persistence=True) as broker, spooled(broker, tmp_path, qos=qos) as (sink, events):
        eventually(sink.ready)
        with broker.paused():
            sink.send(batch_of(numbers(0, 10), topics=["in/a"] * 10, tracker=tracker))
            broker.kill()
        eventually(lambda: sum(released) == 10)
        assert [event.reason for event in events if isinstance(event, SpoolStarted)] == ["the other side is away"]

        broker.start()
        eventually(sink.empty)


@needs_broker
@pytest.mark.parametrize("qos", [1, 2])
def test_what_is_handed_over_twice_answers_once_when_the_broker_has_confirmed_it(tmp_path, qos):
    sent, kept = [], []
    source, spool = Tracker(sent.append), Tracker(kept.append)

    def keep(batch):
        return batch if batch.tracker is spool else replace(batch, seqs=spool.open(len(batch)), tracker=spool)

    with Broker(persistence=True) as broker, spooled(broker, tmp_path, qos=qos) as (sink, _):
        eventually(sink.ready)
        with broker.paused():
            sink.send(batch_of(numbers(0, 10), topics=["in/a"] * 10, tracker=source))
            sink.inner.hand_over(keep)
            sink.inner.hand_over(keep)
            assert (sum(sent), sum(kept)) == (10, 0)
        eventually(lambda: sum(kept) == 10)
    assert (source.surplus, spool.surplus) == (0, 0)


@needs_broker
def test_a_sink_of_qos_0_and_one_that_says_so_have_no_spool(tmp_path):
    with Broker() as broker:
        with spooled(broker, tmp_path, qos=0) as (sink, _):
            assert not isinstance(sink, SpooledSink)
        with spooled(broker, tmp_path, enabled=False) as (sink, _):
            assert not isinstance(sink, SpooledSink)


def test_a_batch_without_a_source_that_waits_is_kept_all_the_same(bench):
    one = bench(Far(there=False))
    one.sink.send(Batch(batch_of([b"a"]).heads, [b"a"], [0], [0.0], [0], None))

    eventually(lambda: one.sink.counters.spooled == 1)
