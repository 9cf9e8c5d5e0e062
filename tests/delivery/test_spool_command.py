"""`flowrt spool`: what waits on disk, told, taken out and put right."""

import json

import pytest

from flowrt.cli.main import main
from flowrt.delivery.spool.log import SpoolLog
from flowrt.delivery.spool.segment import segment_paths
from flowrt.endpoints.registry import spool_folder
from flowrt.message import Head


@pytest.fixture
def state(tmp_path):
    """Two spools: `pump/alerts` with three messages, of which one is out, and `oven door/out` with one."""
    for graph, sink, payloads in (("pump", "alerts", (b"a", b"b", b"\xff")), ("oven door", "out", (b"{}",))):
        log = SpoolLog(spool_folder(tmp_path, graph, sink))
        for payload in payloads:
            log.append([Head("plant/1")], [payload])
        if sink == "alerts":
            log.tracker.settle(log.take().seqs)
        log.close()
    return tmp_path


def flowrt(capsys, state, *arguments):
    status = main(["spool", *arguments, "--state", str(state)])
    told = capsys.readouterr()
    return status, told.out.splitlines(), told.err


def damage(state):
    (path,) = segment_paths(spool_folder(state, "pump", "alerts"))
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    data += b"torn"
    path.write_bytes(data)


def test_list_tells_each_spool_on_a_line(capsys, state):
    status, lines, _ = flowrt(capsys, state, "list")

    assert status == 0
    assert lines[0].startswith("oven door/out: 1 messages, ")
    assert lines[1].startswith("pump/alerts: 2 messages, ")
    assert lines[1].endswith("s old")


def test_show_prints_what_is_not_out(capsys, state):
    _, lines, _ = flowrt(capsys, state, "show", "pump/alerts")

    assert [(json.loads(line)["number"], json.loads(line)["payload"]) for line in lines] == [(1, "b"), (2, "\\xff")]
    assert [json.loads(line).get("payloadBase64") for line in lines] == [
        None,
        "/w==",
    ]  # to the byte, where it is no text
    assert len(flowrt(capsys, state, "show", " pump/ ", "--limit", "1")[1]) == 1


def test_drain_leaves_the_messages_to_another_sink_behind_what_waits_for_it(capsys, state):
    status, lines, told = flowrt(capsys, state, "drain", "pump/alerts", "--into", "oven door/out")

    assert (status, told) == (0, "")
    assert lines == ["pump/alerts: 2 messages left to oven door/out, which sends them when it runs"]
    kept = [json.loads(line) for line in flowrt(capsys, state, "show", "oven door")[1]]
    assert [(one["number"], one["topic"], one["payload"]) for one in kept] == [
        (0, "plant/1", "{}"),
        (1, "plant/1", "b"),
        (2, "plant/1", "\\xff"),
    ]
    assert flowrt(capsys, state, "show", "pump")[1] == []


def test_drain_into_a_sink_that_never_had_a_spool_says_so_and_into_one_in_use_does_nothing(capsys, state):
    user = SpoolLog(spool_folder(state, "oven door", "out"))
    for into, words in (("oven door/out", "a runtime uses"), ("pump/alerts", "the spool itself"), ("x", "GRAPH/SINK")):
        status, _, told = flowrt(capsys, state, "drain", "pump", "--into", into)
        assert status != 0
        assert words in told
    user.close()
    assert len(flowrt(capsys, state, "show", "pump")[1]) == 2

    status, _, told = flowrt(capsys, state, "drain", "pump", "--into", "pump/alarms")
    assert status == 0
    assert "pump/alarms had no spool yet" in told
    assert len(flowrt(capsys, state, "show", "pump/alarms")[1]) == 2


def test_drain_writes_the_messages_to_a_file_and_empties_the_spool(capsys, state, tmp_path):
    status, lines, _ = flowrt(capsys, state, "drain", "pump", "--to", str(tmp_path / "saved.jsonl"))

    assert (status, lines) == (0, [f"pump/alerts: 2 messages written to {tmp_path}/saved.jsonl"])
    assert [json.loads(line)["payload"] for line in (tmp_path / "saved.jsonl").read_text().splitlines()] == [
        "b", "\\xff",
    ]  # fmt: skip
    log = SpoolLog(spool_folder(state, "pump", "alerts"))
    assert (log.messages, log.append([Head("t")], [b"next"])) == (0, range(3, 4))
    log.close()


def test_drain_puts_what_is_damaged_aside_and_says_so(capsys, state, tmp_path):
    damage(state)

    status, lines, _ = flowrt(capsys, state, "drain", "pump", "--to", str(tmp_path / "saved.jsonl"))

    assert (status, "damaged bytes left out" in lines[0], "1 messages written to" in lines[1]) == (0, True, True)
    assert list(spool_folder(state, "pump", "alerts").glob("*.damaged"))
    assert "nothing is spooled" in flowrt(capsys, state / "elsewhere", "drain", "--yes")[2]


def test_drain_asks_before_it_throws_away(capsys, state):
    status, _, told = flowrt(capsys, state, "drain", "pump")
    assert (status, "--to FILE" in told) == (3, True)

    assert flowrt(capsys, state, "drain", "pump", "--yes")[0] == 0
    assert flowrt(capsys, state, "list", "pump")[1][0].startswith("pump/alerts: 0 messages")


def test_a_spool_in_use_is_looked_at_and_not_changed(capsys, state):
    log = SpoolLog(spool_folder(state, "pump", "alerts"))

    assert flowrt(capsys, state, "verify", "pump")[0] == 0
    status, _, told = flowrt(capsys, state, "drain", "pump", "--yes")

    assert (status, "a runtime uses the spool of pump/alerts" in told) == (3, True)
    log.close()


def test_verify_names_what_is_damaged_and_repair_leaves_it_out(capsys, state):
    damage(state)

    status, lines, _ = flowrt(capsys, state, "verify")
    assert status == 1
    assert "damaged, messages: 1" in "".join(lines)
    assert "4 bytes at its end are no whole write" in "".join(lines)

    assert "2 sound writes kept" in "".join(flowrt(capsys, state, "repair")[1])
    assert flowrt(capsys, state, "verify")[0] == 0
    assert [json.loads(line)["payload"] for line in flowrt(capsys, state, "show", "pump")[1]] == ["b"]
    assert list(spool_folder(state, "pump", "alerts").glob("*.damaged"))


def test_a_name_that_is_mistyped_is_met_with_the_nearest(capsys, state):
    status, _, told = flowrt(capsys, state, "list", "pmup/alerts")

    assert (status, "did you mean 'pump/alerts'?" in told) == (3, True)
    assert "nothing is spooled" in flowrt(capsys, state / "elsewhere", "list")[2]
