"""A spool gives back what it was given, in order, whatever ends the process in between."""

import os
import struct
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.delivery.spool.log import Clock, SpoolLog
from flowrt.delivery.spool.position import Position, read_position
from flowrt.delivery.spool.segment import segment_paths
from flowrt.message import Head

HEAD = Head("plant/1/pump", "application/json", (("k", "ä"), ("k", "2")), "answer", b"\x00\xff", timestamp=(1, 2, "n"))


class FakeClock:
    """Seconds of the wall and of the machine, set by the test."""

    def __init__(self):
        self.wall = self.uptime = 1000
        self.boot = bytes(16)

    def clock(self):
        return Clock(lambda: self.wall * 1000, lambda: self.uptime * 1000, lambda: self.boot)


@pytest.fixture
def spool(tmp_path):
    opened = []

    def make(**options):
        opened.append(SpoolLog(tmp_path / "spool", **options))
        return opened[-1]

    yield make
    for log in opened:
        log.close()


def put(log, *payloads):
    return log.append([HEAD] * len(payloads), payloads)


def drain(log):
    """All that waits, each frame settled."""
    found = []
    while (frame := log.take()) is not None:
        found += frame.payloads
        log.tracker.settle(frame.seqs)
    return found


def files(tmp_path):
    return sorted(segment_paths(tmp_path / "spool"))


def test_messages_come_back_whole_and_in_order_after_a_restart(spool):
    log = spool()
    put(log, b"a", b"")
    put(log, b"c" * 100_000)
    log.close()

    log = spool()
    assert (log.messages, log.waiting) == (3, 3)
    first, second = log.take(), log.take()

    assert (first.payloads, second.payloads) == ([b"a", b""], [b"c" * 100_000])
    told = first.heads[0]
    assert (told.topic, told.content_type, told.properties) == ("plant/1/pump", "application/json", HEAD.properties)
    assert (told.response_topic, told.correlation, told.timestamp) == ("answer", b"\x00\xff", (1, 2, "n"))


def test_what_was_sent_but_not_confirmed_comes_again_and_nothing_else(spool):
    log = spool()
    seqs = put(log, *[b"%d" % i for i in range(10)])
    log.take()
    log.tracker.settle(seqs[:4])
    log.tracker.settle([seqs[6]])  # confirmed out of turn: the mark stays behind it
    log.close()

    assert drain(spool()) == [b"%d" % i for i in range(4, 10)]


def test_files_go_when_all_in_them_is_out(spool, tmp_path):
    log = spool(segment_bytes=500)
    for i in range(30):
        put(log, b"%050d" % i)
    assert len(files(tmp_path)) > 5

    drain(log)
    log.tidy()

    assert files(tmp_path) == []
    assert (log.messages, log.disk_bytes) == (0, 0)
    put(log, b"again")
    assert drain(log) == [b"again"]


def test_the_oldest_give_way_even_while_older_ones_are_under_way(spool, tmp_path):
    log = spool(segment_bytes=500)
    for i in range(30):
        put(log, b"%050d" % i)
    sent = log.take()
    before = len(files(tmp_path))

    assert [log.drop_oldest() for _ in range(20)] == [1] * 20
    assert len(files(tmp_path)) < before
    assert log.messages == 10
    log.tracker.settle(sent.seqs)
    assert [int(payload) for payload in drain(log)] == list(range(21, 30))


def test_a_torn_write_is_cut_and_what_was_durable_stays(spool, tmp_path):
    log = spool()
    put(log, b"durable")
    log.close()
    (path,) = files(tmp_path)
    whole = path.read_bytes()
    log = spool()
    put(log, b"torn away")
    log.close()
    torn = files(tmp_path)[1].read_bytes()
    files(tmp_path)[1].unlink()

    for end in range(1, len(torn) - 32):  # every prefix of the second frame behind the first file's
        path.write_bytes(whole + torn[32 : 32 + end])
        log = SpoolLog(tmp_path / "spool")
        assert (log.cut_bytes, log.messages) == (end, 1)
        log.close()
    path.write_bytes(whole + bytes(4096))  # a size that reached the disk before the bytes did
    log = spool()
    assert (log.cut_bytes, drain(log)) == (4096, [b"durable"])


def test_a_damaged_stretch_costs_its_own_messages_only(spool, tmp_path):
    log = spool()
    for payload in (b"one", b"two", b"three", b"four"):
        put(log, payload * 20)
    log.close()
    (path,) = files(tmp_path)
    data = bytearray(path.read_bytes())
    data[data.index(b"twotwo")] ^= 1  # its body
    data[data.index(b"threethree") - 150] ^= 1  # within its header or table
    path.write_bytes(data)

    log = spool()
    assert drain(log) == [b"one" * 20, b"four" * 20]
    assert log.damaged == 2
    log.tidy()
    assert files(tmp_path) == []


def test_a_file_that_was_never_finished_is_put_away(spool, tmp_path):
    (tmp_path / "spool").mkdir()
    (tmp_path / "spool" / f"{0:020d}.spool").write_bytes(b"flowrt sp")

    log = spool()

    assert (log.messages, log.cut_bytes, files(tmp_path)) == (0, 9, [])


def test_a_full_disk_keeps_nothing_of_the_write_that_failed(spool, tmp_path, monkeypatch):
    log = spool()
    put(log, b"before")

    def full(fd, data, at, real=os.pwrite):
        real(fd, data[: len(data) // 2], at)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "pwrite", full)
        with pytest.raises(OSError, match="No space"):
            put(log, b"lost" * 100)

    put(log, b"after")
    assert drain(log) == [b"before", b"after"]
    assert log.cut_bytes == log.damaged == 0


def test_the_file_that_a_full_disk_left_empty_takes_nothing_with_it(spool, tmp_path, monkeypatch):
    """It and the one that takes its place have one name: both begin with the same message."""
    log = spool(segment_bytes=1)  # a file a write
    put(log, b"before")

    def full(_fd):
        raise OSError(28, "No space left on device")

    def fails_after_the_mark(fd, real=os.fdatasync):
        monkeypatch.setattr(os, "fdatasync", full)
        real(fd)

    monkeypatch.setattr(os, "fdatasync", fails_after_the_mark)
    with pytest.raises(OSError, match="No space"):
        put(log, b"kept")
    monkeypatch.undo()
    put(log, b"kept")
    log.tracker.settle(log.take().seqs)  # all before it is out
    log.tidy()
    log.close()

    assert drain(spool()) == [b"kept"]


def test_alike_heads_are_one_object_however_often_they_are_read_back(spool):
    log = spool()
    put(log, b"one")
    put(log, b"two")

    assert log.take().heads[0] is log.take().heads[0]


def test_a_torn_position_leaves_the_one_before(tmp_path):
    position = Position(tmp_path)
    position.write(7)
    position.write(9)
    position.close()
    data = bytearray((tmp_path / "position").read_bytes())
    data[12] ^= 255
    (tmp_path / "position").write_bytes(data)

    assert read_position(tmp_path) == 7
    (tmp_path / "position").write_bytes(struct.pack("<Q", 3))
    assert read_position(tmp_path) == 0


@pytest.mark.parametrize(
    ("after", "age"),
    [
        ({"wall": 4600}, 0),  # the clock is set forward an hour: nothing has aged
        ({"wall": 0, "uptime": 1010}, 10),  # set back, and ten seconds pass
        ({"wall": 1020, "uptime": 5, "boot": b"x" * 16}, 20),  # another boot: only the wall's clock can tell
    ],
)
def test_age_is_told_by_the_clock_that_no_one_sets(spool, after, age):
    time = FakeClock()
    log = spool(clock=time.clock())
    put(log, b"a")
    log.close()
    vars(time).update(after)

    assert spool(clock=time.clock()).oldest_seconds() == age


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_nothing_is_lost_and_order_is_kept_whenever_the_process_ends(data):
    """For any appends, sends, confirmations, drops and ends of the process: what was appended and neither confirmed nor
    dropped comes back, in order."""
    with tempfile.TemporaryDirectory() as folder:
        log = SpoolLog(Path(folder), segment_bytes=data.draw(st.sampled_from([100, 300, 4000])))
        model: dict[int, bytes] = {}
        ever: dict[int, bytes] = {}
        count = 0
        taken: list[int] = []
        dropped = ghosts = False  # what was dropped may come back after an end, in its place
        for step in data.draw(st.lists(st.sampled_from(["put", "put", "take", "confirm", "drop", "end", "tidy"]))):
            match step:
                case "put":
                    payloads = [b"%d" % (count + i) for i in range(data.draw(st.integers(1, 5)))]
                    count += len(payloads)
                    new = dict(zip(put(log, *payloads), payloads, strict=True))
                    model, ever = model | new, ever | new
                case "take" if (frame := log.take()) is not None:
                    assert frame.payloads == [ever[seq] for seq in frame.seqs]
                    taken += frame.seqs
                case "confirm" if taken:
                    size = data.draw(st.integers(1, len(taken)))
                    log.tracker.settle(taken[:size])
                    for seq in taken[:size]:
                        model.pop(seq, None)
                    del taken[:size]
                case "drop" if not ghosts:
                    waiting = [seq for seq in model if seq not in taken]
                    for seq in waiting[: log.drop_oldest()]:
                        del model[seq]
                    dropped = True
                case "end":
                    ghosts = dropped
                    log.close()
                    log, taken = SpoolLog(Path(folder), segment_bytes=300), []
                case "tidy":
                    log.tidy()
        log.close()
        log = SpoolLog(Path(folder))
        rest = drain(log)
        log.close()
        kept = [payload for payload in rest if payload in model.values()]
        assert kept == list(model.values())
        assert rest == sorted(rest, key=int)
