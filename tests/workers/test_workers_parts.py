"""The parts of `--workers`: frames, dealing, adding figures up."""

import io
import socket
from concurrent.futures import ThreadPoolExecutor, wait
from time import sleep

from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.counters import Histogram, NodeCounters
from flowrt.delivery.tracker import Tracker
from flowrt.message import Batch, Head, Tensor
from flowrt.workers import wire
from flowrt.workers.blame import Blame
from flowrt.workers.dealing import Dealer, Feed
from flowrt.workers.figures import total
from flowrt.workers.wire import DONE, Decoder, Encoder

HEADS = [
    Head("a"),
    Head("b", "application/json", (("k", "v"), ("k", "w")), "reply", b"\0", "schema", retain=True),
    Head("c", timestamp=(1, 2, "node"), tensors=(Tensor("x", "f32", (2, 3)),)),
]


def batch_of(rows):
    heads = [HEADS[which] for which, _ in rows]
    return Batch(heads, [data for _, data in rows], range(len(rows)), [0.5] * len(rows), range(len(rows)))


def plain(batch):
    heads = [(h.topic, h.content_type, h.properties, h.correlation, h.retain, h.tensors) for h in batch.heads]
    return heads, list(batch.payloads), list(batch.times), list(batch.born)


@settings(max_examples=60)
@given(st.lists(st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=40)), min_size=1, max_size=8), max_size=6))
def test_batches_come_out_as_they_went_in(many):
    encoder = Encoder()
    data = b"".join(piece for rows in many for piece in encoder.frame(7, batch_of(rows)))
    decoder = Decoder(io.BytesIO(data).read)
    assert [plain(decoder.next().batch) for _ in many] == [plain(batch_of(rows)) for rows in many]
    assert decoder.next() is None


@given(st.integers(0, 200))
def test_the_end_may_come_anywhere(cut):
    data = b"".join(Encoder().frame(0, batch_of([(0, b"one"), (1, b"two")])))
    decoder = Decoder(io.BytesIO(data[: min(cut, len(data) - 1)]).read)
    assert decoder.next() is None


def test_both_sides_forget_heads_together(monkeypatch):
    monkeypatch.setattr(wire, "HEADS_MAX", 2)
    encoder, rows = Encoder(), [[(0, b"")], [(1, b"")], [(2, b"")], [(0, b""), (2, b"")]]
    decoder = Decoder(io.BytesIO(b"".join(piece for one in rows for piece in encoder.frame(0, batch_of(one)))).read)
    topics = [[head.topic for head in decoder.next().batch.heads] for _ in rows]
    assert topics == [["a"], ["b"], ["c"], ["a", "c"]]


def test_a_topic_goes_to_one_feed_and_every_row_to_some():
    class Kept:
        def __init__(self):
            self.rows = []

        def send(self, source, batch):
            self.rows += [
                (source, head.topic, payload) for head, payload in zip(batch.heads, batch.payloads, strict=True)
            ]

    feeds = [Kept() for _ in range(4)]
    heads = [Head(f"t{number % 10}") for number in range(200)]
    payloads = [b"%d" % number for number in range(200)]
    Dealer(feeds).deliver(3)(Batch(heads, payloads, range(200), [0.0] * 200, range(200)))
    assert sorted(row for feed in feeds for row in feed.rows) == sorted(
        (3, head.topic, payload) for head, payload in zip(heads, payloads, strict=True)
    )
    for topic in {head.topic for head in heads}:
        having = [feed for feed in feeds if any(row[1] == topic for row in feed.rows)]
        assert len(having) == 1
        assert [int(row[2]) for row in having[0].rows if row[1] == topic] == list(range(int(topic[1:]), 200, 10))


def test_what_a_worker_left_is_dealt_to_the_next_in_order():
    released = []
    tracker = Tracker(released.append)
    feed = Feed(lambda: None, lambda *_: None)
    ours, theirs = socket.socketpair()
    feed.attach(ours)
    heads = [Head("a")] * 5
    payloads = [b"0", b"1", b"2", b"3", b"4"]
    feed.send(0, Batch(heads, payloads, range(5), [0.0] * 5, tracker.open(5), tracker))
    with theirs, theirs.makefile("rb") as stream:
        assert Decoder(stream.read).next().batch.payloads == payloads
        theirs.sendall(DONE.pack(2))
    ours, theirs = socket.socketpair()
    feed.attach(ours)
    with theirs, theirs.makefile("rb") as stream:
        again = Decoder(stream.read).next()
        assert (again.tracked, again.batch.payloads) == (True, [b"2", b"3", b"4"])
        theirs.sendall(DONE.pack(3))
    feed.join()
    assert sum(released) == 5
    assert feed.open_count == 0


def life(connection):
    """A worker's: it dies of the bad message. What it was dealt."""
    seen = []
    with connection, connection.makefile("rb") as stream:
        decoder = Decoder(stream.read)
        while (arrived := decoder.next()) is not None:
            for payload in arrived.batch.payloads:
                seen.append(payload)
                if payload == b"bad":
                    return seen
                connection.sendall(DONE.pack(1))
    return seen


def test_a_message_that_ends_worker_after_worker_is_found_and_only_that_one():
    released, condemned, lives = [], [], []
    tracker = Tracker(released.append)

    def condemn(source, batch):
        condemned.append((source, batch.payloads[0]))
        tracker.settle(batch.seqs)

    feed = Feed(lambda: None, condemn)
    batch = Batch([Head("a")] * 5, [b"0", b"1", b"bad", b"3", b"4"], range(5), [0.0] * 5, tracker.open(5), tracker)
    with ThreadPoolExecutor() as pool:
        for number in range(5):
            ours, theirs = socket.socketpair()
            lives.append(pool.submit(life, theirs))
            feed.attach(ours, worked=number > 0)
            if number == 0:
                feed.send(7, batch)
            if number < 4:
                wait(lives)
        while feed.open_count:
            sleep(0.001)
        feed.close()

    assert [one.result() for one in lives] == [[b"0", b"1", b"bad"], [b"bad"], [b"bad"], [b"bad"], [b"3", b"4"]]
    assert condemned == [(7, b"bad")]
    assert sum(released) == 5


def test_a_worker_that_never_began_to_work_blames_no_message():
    blame = Blame()
    for _ in range(20):
        assert not blame.died(3, working=False)
    assert not blame.alone


def test_counters_of_several_add_up():
    first, second = NodeCounters(), NodeCounters()
    first.received, second.received = 2, 3
    first.drop("size")
    second.drop("size", 4)
    second.fault("trap")
    first.processing.observe(0.1)
    second.processing.observe(0.2, 2)
    second.disabled = True
    first.own.add("seen", 1)
    second.own.add("seen", 2)
    sums = total([first, second])
    assert (sums.received, sums.dropped, sums.faults, sums.disabled) == (5, {"size": 5}, {"trap": 1}, True)
    assert isinstance(sums.processing, Histogram)
    assert (sums.processing.count, round(sums.processing.sum, 6)) == (3, 0.5)
    assert list(sums.own.series.values()) == [3]
