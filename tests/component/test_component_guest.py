"""Operator components at work: what goes in, what comes out, what ends an instance."""

import pytest
from component_guests import ECHO, HEAD, READ, TIME, batch, component

from flowrt.errors import GuestTrap, NodeFault
from flowrt.message import Head
from flowrt.quota.pool import Pool

SIZES = (0, 1, 127, 128, 129, 1000, 100_000)


SECONDS = """(local.set $at (call $alloc (i32.const 8)))
  (i64.store (local.get $at) (i64.load offset=8 (local.get $model)))
  (i32.store offset=80 (local.get $model) (local.get $at))
  (i32.store offset=84 (local.get $model) (i32.const 8))
  (call $ok (local.get $model))"""
"""The payload becomes the seconds of the message's clock."""


def test_a_senders_clock_is_believed_up_to_a_minute_ahead(guest):
    """One further ahead is not shown to the guest, and counted; what the message carries stays as it came."""
    ours = TIME >> 20
    heads = [HEAD.with_(timestamp=(ours + ahead, 0, "press-4")) for ahead in (-3_600_000, 60_000, 60_001)]
    rows = batch(b"", b"", b"").with_payloads([b""] * 3, heads)
    output = guest(component({"map": SECONDS})).map(rows)
    seen = [int.from_bytes(payload, "little") for payload in output.payloads]
    assert seen == [ours // 1000 - 3600, (ours + 60_000) // 1000, ours // 1000]
    assert guest.counters.drifted == 1


@pytest.mark.parametrize("body", [ECHO, READ], ids=["given back", "read"])
def test_a_message_passes_as_it_is(guest, body):
    payloads = [bytes(range(256)) * (size // 256) + bytes(size % 256) for size in SIZES]
    given = batch(*payloads)
    output = guest(component({"map": body})).map(given)
    assert (output.rows, output.payloads, output.heads, output.errors) == (range(len(SIZES)), payloads, None, {})


def test_a_message_of_the_plainest_form_passes(guest):
    output = guest(component({"map": ECHO})).map(batch(b"1", head=Head("t")))
    assert (output.payloads, output.heads) == ([b"1"], None)


def test_many_calls_leave_nothing_behind(guest):
    instance = guest(component({"map": READ}))
    for _ in range(50):
        instance.map(batch(bytes(2000), bytes(10)))
    assert instance.memory_bytes() == 2 * 65536 + 65536


CHANGE = """
  (i32.store (i32.load offset=52 (local.get $model)) (i32.const 0x74786574))
  (i32.store offset=56 (local.get $model) (i32.const 4))
  (i32.store8 offset=60 (local.get $model) (i32.const 0))
  (i32.store offset=92 (local.get $model) (i32.const 1))
  (i32.store8 offset=96 (local.get $model) (i32.const 0))
  (call $ok (local.get $model))
"""
"""Topic `text`, no content type, the first user property only, no schema."""


def test_what_a_guest_changes_changes_the_head(guest):
    instance = guest(component({"map": CHANGE}))
    first = instance.map(batch(b"1", b"2"))
    again = instance.map(batch(b"3"))
    (head, same) = first.heads
    assert (head.topic, head.content_type, head.properties, head.schema) == ("text", None, (("unit", "bar"),), None)
    assert head is same is again.heads[0]
    assert head.timestamp is None


def test_a_changed_timestamp_is_the_messages_new_one(guest):
    body = "(i64.store offset=8 (local.get $model) (i64.const 5)) (call $ok (local.get $model))"
    output = guest(component({"map": body})).map(batch(b""))
    assert output.heads[0].timestamp == (5123, 7, "flowrt")


def test_the_senders_clock_is_kept(guest):
    head = Head("t", timestamp=(1_000_500, 3, "sensor-7"))
    body = "(i64.store offset=24 (local.get $model) (i64.const 4)) (call $ok (local.get $model))"
    assert guest(component({"map": ECHO})).map(batch(b"", head=head)).heads is None
    assert guest(component({"map": body})).map(batch(b"", head=head)).heads[0].timestamp == (1_000_500, 4, "sensor-7")


def test_bytes_alone_keep_the_head(guest):
    body = """
      (i32.store8 (local.get $model) (i32.const 0))
      (i32.store8 offset=8 (local.get $model) (i32.const 1))
      (i32.store offset=12 (local.get $model) (i32.load offset=52 (local.get $model)))
      (i32.store offset=16 (local.get $model) (i32.const 5))
      (call $ok (local.get $model))"""
    output = guest(component({"map": body})).map(batch(b"x"))
    assert (output.payloads, output.heads) == ([b"plant"], None)


LONG = "(call $verdict (i32.gt_u (i32.load offset=84 (local.get $model)) (i32.const 2)))"


def test_several_operators_of_one_component(guest):
    code = component({"map": ECHO, "filter": LONG, "branch": LONG})
    assert guest(code, "filter").decide("filter", batch(b"1", b"123")) == (b"\0\1", {})
    assert guest(code, "branch").decide("branch", batch(b"123", b"1")) == (b"\1\0", {})
    assert guest(code, "map").map(batch(b"1")).payloads == [b"1"]


def test_a_branch_is_told_the_logical_time(guest):
    milliseconds = TIME >> 20
    body = f"""(call $verdict (i32.and
      (i64.eq (i64.load (local.get $clock)) (i64.const {milliseconds // 1000}))
      (i32.and (i32.eq (i32.load offset=8 (local.get $clock)) (i32.const {milliseconds % 1000 * 1_000_000}))
               (i64.eq (i64.load offset=16 (local.get $clock)) (i64.const 7)))))"""
    assert guest(component({"branch": body}), "branch").decide("branch", batch(b""))[0] == b"\1"


REFUSE_EMPTY = f"""(if (i32.eqz (i32.load offset=84 (local.get $model))) (then (return
  (call $fail (i32.load offset=52 (local.get $model)) (i32.load offset=56 (local.get $model)))))) {ECHO}"""


def test_a_refused_message_comes_back_with_the_guests_words(guest):
    instance = guest(component({"map": REFUSE_EMPTY}))
    output = instance.map(batch(b"1", b"", b"3"))
    assert (output.rows, output.payloads, output.errors) == ([0, 2], [b"1", b"3"], {1: "plant/1/pump"})
    assert instance.map(batch(b"4")).payloads == [b"4"]


def test_a_filter_may_refuse_too(guest):
    body = """
      (local.set $at (call $alloc (i32.const 12)))
      (i32.store8 (local.get $at) (i32.const 1))
      (i32.store offset=4 (local.get $at) (i32.load offset=52 (local.get $model)))
      (i32.store offset=8 (local.get $at) (i32.const 5))
      (local.get $at)"""
    assert guest(component({"filter": body}), "filter").decide("filter", batch(b"")) == (b"\0", {0: "plant"})


INIT = """(i32.and (i32.eq (local.get $count) (i32.const 1))
  (i32.and (i32.eq (i32.load8_u (i32.load (local.get $properties))) (i32.const 107))
           (i32.eq (i32.load offset=12 (local.get $properties)) (i32.const 2))))"""


def test_init_is_given_the_properties(guest):
    code = component({"map": ECHO}, init=INIT)
    guest(code, properties=[("key", "42")])
    with pytest.raises(GuestTrap, match="init: init refused the configuration"):
        guest(code)


def test_init_is_given_the_schemas(guest):
    init = """(local $list i32) (local $size i32) (i32.and (i32.eq (i32.load offset=4 (local.get 2)) (i32.const 4))
      (i32.and (i32.eq (local.get 3) (i32.const 1)) (i32.eq (i32.load offset=20 (local.get 2)) (i32.const 2))))"""
    code = component({"map": ECHO}, init=init)
    guest(code, schemas=[("pump", "JsonSchema/draft-07", "{}")])
    with pytest.raises(GuestTrap, match="init refused"):
        guest(code)


@pytest.mark.parametrize(
    ("kind", "init", "resources"),
    [
        ("init", "(unreachable)", {}),
        ("deadline", "(loop $ever (br $ever)) (i32.const 1)", {"deadline": "50ms"}),
        ("fuel", "(loop $ever (br $ever)) (i32.const 1)", {"fuel": 100_000}),
        ("memory", "(drop (call $alloc (i32.const 90000000))) (i32.const 1)", {}),
        ("memory", "(i32.const 1)", {"memory": "128Ki"}),
    ],
    ids=["traps", "never ends", "eats its fuel", "wants too much", "begins too large"],
)
def test_an_instance_that_does_not_come_up_says_why(guest, kind, init, resources):
    with pytest.raises(GuestTrap) as raised:
        guest(component({"map": ECHO}, init=init), **resources)
    assert raised.value.kind == kind


@pytest.mark.parametrize(
    ("kind", "body", "resources"),
    [
        ("trap", "(unreachable)", {}),
        ("trap", "(i32.div_u (i32.const 1) (i32.const 0))", {}),
        ("deadline", "(loop $ever (br $ever)) (i32.const 0)", {"deadline": "50ms"}),
        ("fuel", "(loop $ever (br $ever)) (i32.const 0)", {"fuel": 100_000}),
        ("memory", "(call $alloc (i32.const 90000000))", {}),
    ],
)
def test_an_instance_that_fails_is_not_called_again(guest, kind, body, resources):
    factory = guest.factory(component({"map": body}), **resources)
    instance = factory()
    with pytest.raises(GuestTrap) as raised:
        instance.map(batch(b"1"))
    assert raised.value.kind == kind
    assert instance._store.broken
    instance.close()
    factory().close()  # a fresh one comes up


def test_memory_is_taken_from_the_graphs_budget_too(guest):
    pool = Pool(250_000, "the graph's budget")
    instance = guest(component({"map": "(call $alloc (i32.const 100000))"}), pool=pool)
    assert pool.used == instance.memory_bytes() == 3 * 65536
    with pytest.raises(GuestTrap, match="memory: it asked for more memory than is left of the graph's budget"):
        instance.map(batch(b""))
    instance.close()
    assert pool.used == 0


def test_a_payload_above_the_nodes_is_refused_before_the_call(guest):
    with pytest.raises(NodeFault, match="size: a payload of 11 bytes; the node takes 10"):
        guest(component({"map": ECHO}), message=10).map(batch(bytes(11)))


def test_the_interpreter_runs_components_too(tmp_path):
    from component_guests import Maker

    from flowrt.wasm.engine import Engine

    engine = Engine(interpreter=True)
    maker = Maker(engine)
    assert maker(component({"map": READ})).map(batch(bytes(500))).payloads == [bytes(500)]
    maker.close()
    engine.close()


def test_the_second_start_compiles_nothing(engine, tmp_path):
    from flowrt.wasm.cache import CodeCache, compile_component

    cache, code = CodeCache(tmp_path), component({"map": ECHO})
    compile_component(engine, code, cache)
    compile_component(engine, code, cache)
    assert (cache.hits, cache.misses) == (1, 1)


def test_what_init_allocates_stays(guest):
    code = component(
        {"map": "(call $fail (global.get $kept) (i32.const 3))"},
        init="(global.set $kept (call $alloc (i32.const 3))) (i32.store (global.get $kept) (i32.const 0x646c6f))"
        " (drop (call $alloc (i32.const 1))) (i32.const 1)",
        extra="(global $kept (mut i32) (i32.const 0))",
    )
    assert guest(code).map(batch(bytes(50), bytes(50))).errors == {0: "old", 1: "old"}


def test_a_head_is_given_anew_for_every_topic(guest):
    instance = guest(component({"map": REFUSE_EMPTY}))
    for topic in ("a", "b/c", "x" * 5000, "a"):
        assert instance.map(batch(b"", head=Head(topic))).errors == {0: topic}
    assert instance.map(batch(b"", head=HEAD)).errors == {0: HEAD.topic}
