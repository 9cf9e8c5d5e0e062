import io
import json
import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowrt import events
from flowrt.events import EndpointLost, GuestLogged, MessagesDropped, NodeFaulted, NodeRestarted
from flowrt.logs import Logs
from flowrt.logs.repetition import ALIKE, REPEATS, WINDOW_SECONDS
from flowrt.logs.sentences import SENTENCES, TEXT_MAX

FAULT = NodeFaulted("pump", "features", "trap", "unreachable", 1, "dead-lettered", "0: main\n1: start")
NOON = 1_800_000_000.0


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def logs(level="debug", form="text", clock=None):
    stream = io.StringIO()
    return Logs(stream, level=level, form=form, environ={}, now=lambda: NOON, clock=clock or Clock()), stream


def written(*emitted, **options):
    log, stream = logs(**options)
    for event in emitted:
        log.emit(event)
    return stream.getvalue()


def test_a_fault_is_one_readable_line_with_the_backtrace_below():
    assert written(FAULT) == (
        "08:00:00.000 ERROR   pump/features: fault of kind trap: unreachable; messages dead-lettered: 1\n"
        "    0: main\n"
        "    1: start\n"
    )


def test_the_same_fault_as_json_has_every_field():
    assert json.loads(written(FAULT, form="json")) == {
        "time": "2027-01-15T08:00:00.000+00:00",
        "level": "error",
        "event": "nodeFaulted",
        "message": "fault of kind trap: unreachable; messages dead-lettered: 1",
        "where": "pump/features",
        "graph": "pump",
        "node": "features",
        "kind": "trap",
        "detail": "unreachable",
        "count": 1,
        "outcome": "dead-lettered",
        "backtrace": "0: main\n1: start",
    }


@pytest.mark.parametrize(
    ("guest_text", "shown"),
    [
        ("fine\nERROR   forged line", r"fine\nERROR   forged line"),
        ("\x1b[2J\x1b]0;title\x07", r"\x1b[2J\x1b]0;title\x07"),
        ("carriage\rreturn", r"carriage\rreturn"),
        ("right\u202eto left", r"right\u202eto left"),
        ("line\u2028separator", r"line\u2028separator"),
        ("lone \ud800", r"lone \ud800"),
        ("Pumpe läuft: 20 °C ≤ 25", "Pumpe läuft: 20 °C ≤ 25"),
        ("braces {graph} {0}", "braces {graph} {0}"),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_guest_cannot_forge_lines_or_reach_the_terminal(guest_text, shown, form):
    text = written(GuestLogged("pump", "node", "info", guest_text), form=form)
    assert text.count("\n") == 1
    assert text.removesuffix("\n").isprintable()
    if form == "text":
        assert text == f"08:00:00.000 INFO    pump/node: {shown}\n"
    else:
        assert json.loads(text)["text"] == guest_text


@given(text=st.text(max_size=200), form=st.sampled_from(["text", "json"]))
def test_whatever_a_guest_says_is_one_printable_line(text, form):
    line = written(NodeFaulted("g", text, "error", text, 1, "dropped"), form=form)
    assert line.endswith("\n")
    assert line[:-1].isprintable()


def test_long_words_are_cut():
    text = json.loads(written(GuestLogged("g", "n", "info", "x" * 10**6), form="json"))["text"]
    assert text == "x" * TEXT_MAX + "… (1000000 characters)"


@pytest.mark.parametrize(
    ("severity", "level"), [("trace", "DEBUG"), ("warn", "WARNING"), ("error", "ERROR"), ("?", "INFO")]
)
def test_a_guest_chooses_its_level(severity, level):
    assert level in written(GuestLogged("g", "n", severity, "text"))


def test_what_is_below_the_level_is_not_written():
    assert written(GuestLogged("g", "n", "info", "text"), level="warning") == ""
    assert written(NodeRestarted("g", "n", 1, "trap: x"), level="warning") != ""


def test_alike_faults_are_written_a_few_times_and_then_counted():
    clock = Clock()
    log, stream = logs(clock=clock)
    for number in range(1000):
        log.emit(NodeFaulted("g", "n", "trap", f"detail {number}", 1, "dropped"))
    assert stream.getvalue().count("\n") == REPEATS
    clock.now = WINDOW_SECONDS
    log.tick()
    assert stream.getvalue().splitlines()[-1].endswith("detail 999; messages dropped: 1 (995 more like this)")
    log.emit(NodeFaulted("g", "n", "trap", "later", 1, "dropped"))
    assert stream.getvalue().splitlines()[-1].endswith("later; messages dropped: 1")


def test_faults_of_other_nodes_and_kinds_are_not_alike():
    others = [NodeFaulted("g", node, kind, "", 1, "dropped") for node in "abc" for kind in ("trap", "fuel", "abi")]
    assert written(*others).count("\n") == 9


def test_closing_writes_what_was_only_counted_once():
    log, stream = logs()
    for _ in range(REPEATS + 2):
        log.emit(MessagesDropped("plant", "overflow", 3))
    log.close()
    log.close()
    assert stream.getvalue().count("(2 more like this)") == 1


def test_the_journal_gets_json_with_a_priority_in_front():
    read, write = os.pipe()
    with os.fdopen(read), os.fdopen(write, "w") as stream:
        status = os.fstat(write)
        log = Logs(stream, environ={"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        log.emit(EndpointLost("plant", "10.0.0.1:1883", "refused", 1.0))
        line = os.read(read, 10_000).decode()
    assert line.startswith('<4>{"time": ')
    assert json.loads(line[3:])["reason"] == "refused"


def test_a_stream_that_was_redirected_from_the_journal_gets_text(tmp_path):
    with (tmp_path / "log").open("w+") as stream:
        Logs(stream, environ={"JOURNAL_STREAM": "1:1"}).emit(NodeRestarted("g", "n", 1, "trap: x"))
        stream.seek(0)
        assert stream.read().endswith("WARNING g/n: fresh instance, restart 1, after trap: x\n")


def test_a_reader_that_went_away_stops_nothing():
    read, write = os.pipe()
    os.close(read)
    stream = os.fdopen(write, "w")
    Logs(stream, environ={}).emit(FAULT)
    with pytest.raises(BrokenPipeError):
        stream.close()


def test_libraries_speak_in_the_same_form():
    log, stream = logs()
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    try:
        log.take_over()
        logging.getLogger("library").warning("odd\n%s", "thing")
        try:
            int("why")
        except ValueError:
            logging.getLogger("flowrt").exception("failed")
    finally:
        root.handlers[:], root.level = before, level
    odd, failed, *trace = stream.getvalue().splitlines()
    assert odd == r"08:00:00.000 WARNING library: odd\nthing"
    assert failed == "08:00:00.000 ERROR   flowrt: failed"
    assert trace[-1] == "    ValueError: invalid literal for int() with base 10: 'why'"


def test_every_event_has_a_sentence_that_its_fields_fill():
    kinds = {kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event)}
    assert set(SENTENCES) == kinds - {events.Event}
    for kind, sentence in SENTENCES.items():
        sentence.format_map(dict.fromkeys(kind.__struct_fields__, 1))
    for kind, names in ALIKE.items():
        assert set(names) <= set(kind.__struct_fields__)
