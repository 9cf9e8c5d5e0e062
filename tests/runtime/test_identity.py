"""A redelivery carries the key of the first delivery; different messages have different keys."""

from test_graph import Bench

from flowrt.delivery.tracker import Tracker
from flowrt.runtime.identity import KEY, Keys, identified, identified_results, identity_of
from flowrt.testing import batch_of
from flowrt.values import replace

GRAPH = """\
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a/#]}
  - {operationType: map, name: copy, module: passthrough}
  - {operationType: sink, name: one, endpoint: plant, topic: one, idempotencyKey: true}
  - {operationType: sink, name: two, endpoint: plant, topic: two, idempotencyKey: true}
  - {operationType: sink, name: none, endpoint: plant, topic: three}
connections:
  - {from: {name: in}, to: {name: copy}}
  - {from: {name: copy}, to: {name: one}}
  - {from: {name: copy}, to: {name: two}}
  - {from: {name: copy}, to: {name: none}}
"""


def keys(sink):
    return [value for message in sink.messages for name, value in message.head.properties if name == KEY]


def test_a_second_run_gives_the_same_messages_the_same_keys(tmp_path):
    found = []
    for run in ("first", "second"):
        (tmp_path / run).mkdir()
        ends, _ = Bench(tmp_path / run).run(GRAPH, [[b"1", b"2"], [b"3"]])
        found.append({name: keys(sink) for name, sink in ends.sinks.items()})

    assert found[0] == found[1]
    assert found[0]["none"] == []
    assert not any(message.head.properties for message in ends.sinks["none"].messages)
    assert len({*found[0]["one"], *found[0]["two"]}) == 6


def test_several_messages_made_of_one_have_keys_of_their_own_and_a_redelivery_has_the_same_ones():
    tracker = Tracker(lambda _: None)
    sink = Keys("g", "out")

    def deliver(*rows):
        """One source message that became several, in one batch or in two."""
        batch = identified(batch_of([b"reading"], tracker=tracker))
        derived = [batch.take([0] * count).with_payloads([b"x"] * count) for count in rows]
        return [dict(head.properties)[KEY] for part in derived for head in sink.keyed(part).heads]

    first = deliver(3)
    assert len(set(first)) == 3
    assert deliver(3) == first
    assert deliver(1, 2) == first


def test_a_key_that_came_with_a_message_is_its_identity():
    (head,) = batch_of([b""]).heads
    assert identity_of(head.with_(properties=((KEY, "k1"),)), b"x") == "k1"
    assert identity_of(head, b"x") != identity_of(head, b"y") != identity_of(head.with_(topic="t"), b"y")


def test_two_windows_that_give_the_same_are_two_messages_and_one_that_comes_from_the_disk_is_the_same(tmp_path):
    window = "count: {type: messageCount, maxMessageCount: 1, boundaryMessage: messageInCurrent}"
    rules = "rules: {accumulate: [{inputs: [i], output: n, expression: count($1)}]}"
    text = f"""\
operations:
  - {{operationType: source, name: in, endpoint: plant, topics: [a/#]}}
  - {{operationType: transform, name: window, {window}, {rules}}}
  - {{operationType: sink, name: out, endpoint: plant, topic: out, idempotencyKey: true}}
connections: [{{from: {{name: in}}, to: {{name: window}}}}, {{from: {{name: window}}, to: {{name: out}}}}]
"""
    ends, _ = Bench(tmp_path).run(text, [[b'{"i": 1}', b'{"i": 1}', b'{"i": 1}']])
    assert len({message.payload for message in ends.sinks["out"].messages}) == 1
    assert len(set(keys(ends.sinks["out"]))) == 3

    once = identified_results(batch_of([b"result"]), "g/window")
    again = identified_results(replace(once, times=[5]), "g/window")
    assert again.heads == once.heads
