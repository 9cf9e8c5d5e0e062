"""The pure parts of updates: the life of one, what a start runs, when a version is worse, what a cut journal leaves."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt.graph.updates import Bounds
from flowrt.message import Head, Message
from flowrt.updates.beginning import beginning
from flowrt.updates.compare import same
from flowrt.updates.deployment import Deployment
from flowrt.updates.journal import CUTS_MAX, Candidate, Journal, Record
from flowrt.updates.lifecycle import CARRIES, ENDS, FIRST, TABLE, after
from flowrt.updates.stopwatch import Queued, Stopwatch
from flowrt.updates.verdict import Tally, judge
from flowrt.updates.watching import Watching
from flowrt.values import replace

EVENTS = sorted({event for _, event in TABLE})


@given(st.lists(st.sampled_from(EVENTS), max_size=20))
def test_whatever_happens_an_update_ends_once_and_never_carries_unchecked(events):
    state, past = FIRST, [FIRST]
    for event in events:
        if (state, event) in TABLE:
            state = after(state, event)
            past.append(state)
    for before, now in itertools.pairwise(past):
        assert before not in ENDS
        if now in CARRIES:
            assert before in ("shadowed", "canary", "probation")


def test_every_state_that_is_no_end_can_fail_and_those_under_way_can_be_cut():
    states = {state for state, _ in TABLE} | set(TABLE.values())
    for state in states - ENDS:
        assert {(state, "fail"), (state, "prove")} & TABLE.keys()
        assert state == FIRST or TABLE[state, "cut"] == "interrupted"


def deployment(letter):
    return Deployment("g", letter, "/g.yaml", f"sha256:{letter}", "sha256:" + letter * 64)


A, B, C = map(deployment, "abc")
FILES = {"a": A.fingerprint, "b": B.fingerprint, "c": C.fingerprint, "problems": None}


@pytest.mark.parametrize(
    ("record", "file", "runs_proven", "tries"),
    [
        pytest.param(Record(), "a", False, False, id="the first start"),
        pytest.param(Record("sha256:a", A), "a", False, False, id="nothing new"),
        pytest.param(Record("sha256:a", A), "b", False, False, id="a file changed by hand"),
        pytest.param(Record("sha256:a", B, A), "a", True, False, id="another file was applied since"),
        pytest.param(Record("sha256:a", A, None, Candidate(B, "k")), "a", True, True, id="cut while applying"),
        pytest.param(Record("sha256:b", A, None, Candidate(B, "k")), "b", True, True, id="cut while reloading"),
        pytest.param(Record("sha256:b", A, None, Candidate(B, "k", cuts=2)), "b", True, False, id="cut too often"),
        pytest.param(Record("sha256:a", A), "problems", True, False, id="a file with problems"),
        pytest.param(Record("sha256:a", A, None, Candidate(B, "k")), "c", False, False, id="changed again since"),
    ],
)
def test_what_a_start_runs(record, file, runs_proven, tries):
    found = beginning(record, FILES[file])
    assert (found.proven, found.then) == (runs_proven, tries)


@given(
    st.sampled_from([None, A, B]), st.sampled_from([None, A, B, C]), st.integers(0, 5), st.sampled_from(sorted(FILES))
)
def test_a_start_after_a_cut_runs_a_proven_version_and_ends_trying(proven, wanted, cuts, file):
    candidate = Candidate(wanted, "k", cuts=cuts) if wanted else None
    record = Record(A.fingerprint, proven, None, candidate)
    for _ in range(CUTS_MAX + 1):
        found = beginning(record, FILES[file])
        assert not found.proven or found.record.proven is not None
        assert not found.then or found.proven
        record = found.record
    assert not beginning(record, FILES[file]).then


@pytest.mark.parametrize(
    ("tally", "reason"),
    [
        (Tally(rows=1000), None),
        (Tally(rows=1, traps=1), "traps"),
        (Tally(rows=300, failed=3), None),
        (Tally(rows=100, failed=4), "faults"),
        (Tally(rows=20, seconds=0.1, old_seconds=0.001), "latency"),
        (Tally(rows=19, seconds=0.1, old_seconds=0.001), None),
        (Tally(rows=20, seconds=0.1, waited=0.02, old_seconds=0.001), "latency"),
        (Tally(rows=20, seconds=0.1, waited=0.09, old_seconds=0.001), None),
        (Tally(rows=2, seconds=0.3, old_seconds=0.001), "latency"),
        (Tally(rows=200, seconds=0.9, waited=0.8, old_seconds=0.001), "latency"),
        (Tally(rows=20, seconds=0.003, old_seconds=0.000001), None),
        (Tally(rows=20, seconds=9.0), None),
        (Tally(compared=100, differing=100), None),
        (Tally(memory=95, memory_limit=100, old_memory=10), "memory"),
        (Tally(memory=95, memory_limit=100, old_memory=95), None),
    ],
)
def test_when_a_version_is_worse(tally, reason):
    found = judge(tally, Bounds())
    assert (found or "").partition(":")[0] == (reason or "")


def test_drift_is_judged_where_it_is_bounded():
    tally = Tally(compared=100, differing=4)
    assert judge(tally, Bounds(drift=0.05)) is None
    assert (judge(tally, Bounds(drift=0.01)) or "").startswith("drift")
    assert (judge(replace(tally, differing=1), Bounds(drift=0.0)) or "").startswith("drift")


@pytest.mark.parametrize(
    ("one", "other", "tolerance", "alike"),
    [
        (b'{"a": 1.0, "b": [1, 2]}', b'{"b": [1, 2.001], "a": 1}', 0.01, True),
        (b'{"a": 1.0}', b'{"a": 1.1}', 0.01, False),
        (b'{"a": true}', b'{"a": 1}', 0.01, False),
        (b"no json", b"no jsom", 0.5, False),
        (b"1", b"1.0", 0.0, False),
    ],
)
def test_what_counts_as_the_same_result(one, other, tolerance, alike):
    head = Head("t")
    assert same(Message(head, one), Message(head, other), tolerance) is alike


def test_the_journal_survives_what_a_cut_leaves(tmp_path):
    journal = Journal(tmp_path)
    record = Record("sha256:a", A, B, Candidate(C, "k", "probation", 1), {"k2": "traps: 1"})
    journal.write("g/…", record)
    assert journal.read("g/…") == record
    assert journal.digests() == {digest for each in (A, B, C) for digest in each.digests}

    journal.note("g", "1", "proven", "")
    with (tmp_path / "updates" / "history.jsonl").open("ab") as file:
        file.write(b'{"at": 1, "gra')
    assert [line["outcome"] for line in journal.history()] == ["proven"]
    for path in (tmp_path / "updates").glob("*.graph"):
        path.write_bytes(path.read_bytes()[:50])
    assert journal.read("g/…") == Record()


def test_graphs_with_long_names_have_a_record_each(tmp_path):
    """A name may be longer than that of a file: what is cut off still tells them apart."""
    journal, names = Journal(tmp_path), ["plant/" * 60 + end for end in ("one", "two")]
    for name in names:
        journal.write(name, Record(base=name))
    assert [journal.read(name).base for name in names] == names
    journal.write("g", Record())
    assert (tmp_path / "updates" / "g.graph").exists()


def test_a_file_that_is_still_being_written_is_left_alone(tmp_path):
    path, told = tmp_path / "graph.yaml", []
    path.write_text("1")
    watching = Watching(lambda: [path], lambda: told.append(1), seconds=3600)
    with watching:
        path.write_text("22")
        watching.look()
        path.write_text("333")
        watching.look()
        assert told == []
        watching.look()
        watching.look()
    assert told == [1]


def test_what_a_thread_waited_for_a_core_is_told_apart_in_the_time_of_its_calls():
    tally, clock, queued = Tally(), iter([10.0, 10.5]), iter([1.0, 1.4])
    watch = Stopwatch(tally, lambda: next(clock), lambda: next(queued))
    watch.begin()
    watch.end()

    assert (tally.seconds, tally.waited) == pytest.approx((0.5, 0.4))


def test_a_kernel_that_does_not_say_what_a_thread_waited_is_done_without(tmp_path):
    (tmp_path / "other").write_text("nothing known\n")

    assert Queued(str(tmp_path / "absent"))() == Queued(str(tmp_path / "other"))() == 0.0
    assert Queued()() >= 0.0
