"""Letters that someone asked for go through the node that failed again."""

from time import monotonic, sleep

from test_graph import Bench

from flowrt.cli.main import main
from flowrt.delivery.deadletters import DeadLetter, DeadLetters
from flowrt.message import Head, Message


def test_a_letter_goes_through_its_node_again_in_a_running_runtime_and_leaves_the_store(tmp_path):
    """The letter's payload was bad for an older version of the node; this one takes it."""
    letters = DeadLetters(tmp_path / "state" / "dead-letters.sqlite")
    letters.add(
        [DeadLetter("g", "copy", "trap", "", "", "", Message(Head("a/b"), payload)) for payload in (b"1", b"2")]
    )
    letters.add([DeadLetter("elsewhere", "copy", "trap", "", "", "", Message(Head("a/b"), b"3"))])
    bench = Bench(tmp_path)
    text = """\
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: map, name: copy, module: passthrough}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
connections:
  - {from: {name: in}, to: {name: copy}}
  - {from: {name: copy}, to: {name: out}}
"""
    ends, runtime = bench.start(text, [])
    main(["dead", "retry", "all", "--state", str(tmp_path / "state")])

    got = ends.sinks["out"].wait_for(2)
    runtime.stop(5)

    assert [message.payload for message in got] == [b"1", b"2"]
    assert [letter.message.payload for letter in letters.list()] == [b"3"]  # waits for a runtime with its graph
    letters.close()


def test_a_letter_that_fails_again_is_kept_anew(tmp_path):
    letters = DeadLetters(tmp_path / "state" / "dead-letters.sqlite")
    letters.add([DeadLetter("g", "bad", "trap", "", "", "", Message(Head("a/b"), b"1"))])
    bench = Bench(tmp_path)
    text = """\
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: transform, name: bad, map: [{inputs: [a], output: b}]}
  - {operationType: sink, name: out, endpoint: plant, topic: out}
connections:
  - {from: {name: in}, to: {name: bad}}
  - {from: {name: bad}, to: {name: out}}
"""
    letters.add([DeadLetter("g", "bad", "trap", "", "", "", Message(Head("a/b"), b"not json"))])
    _, runtime = bench.start(text, [])
    main(["dead", "retry", "2", "--state", str(tmp_path / "state")])

    until = monotonic() + 15
    while [letter.id for letter in letters.list()] != [3, 1]:
        assert monotonic() < until
        sleep(0.01)
    runtime.stop(5)
    assert next(iter(letters.list())).message.payload == b"not json"
    letters.close()
