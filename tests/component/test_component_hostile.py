"""Components that mean harm, or were built for something else: each ends in words, and its neighbours go on."""

import resource

import pytest
import wasmtime
from component_guests import ECHO, HEAD, READ, batch, component, core
from component_texts import CONNECTING, sleeping, with_wasi, wrong

from flowrt.errors import GuestTrap, NodeFault, StartError
from flowrt.graph.plan import NodePlan
from flowrt.guests import component as guests
from flowrt.operators.filter import FilterOperation
from flowrt.operators.map import MapOperation
from flowrt.wasm.component import lists
from flowrt.wasm.component.absent import GIVEN_UP_MAX, Resting
from flowrt.wasm.component.factory import component_factory
from flowrt.wasm.inspect import inspect_module


@pytest.fixture
def start(guest, tmp_path):
    """Makes a node of a component's bytes, as the runtime does."""

    def make(code, operation=MapOperation):
        path = tmp_path / "c.wasm"
        path.write_bytes(code)
        made = operation(operation_type=operation.__name__[:-9].lower(), name="n", module="c.wasm")
        node = NodePlan("n", made, ((),), 0, module=inspect_module(path))
        return component_factory(
            guest.engine, node, emit=guest.events.append, graph="g", metrics=guest.metrics, state=guest.state
        )

    return make


def test_an_operator_that_is_not_there(start):
    with pytest.raises(StartError, match="does not export process of wasm-graph:processor/filter"):
        start(component({"map": ECHO}), FilterOperation)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('(field "width" u32)', '(field "width" s32)', "exports process of wasm-graph:processor/map@1.1.0 as"),
        ('"warn" "error" "critical"', '"warn" "error" "fatal"', "imports log of wasm-graph:processor/logger@1.1.0 as"),
        ("processor/logger@1.1.0", "processor/lagger@1.1.0", "imports wasm-graph:processor/lagger@1.1.0, which"),
        ('(param "context" string) (param', '(param "context" (list u8)) (param', "imports log of"),
    ],
)
def test_functions_of_other_types_are_refused_by_name(start, old, new, words):
    with pytest.raises(StartError, match=words):
        start(wrong(core({"map": ECHO}), old, new))


def test_a_type_that_writes_out_endlessly_is_refused(guest):
    doubled = "".join(f"(type $t{i + 1} (tuple $t{i} $t{i}))" for i in range(14))
    text = f"""(component (type $t0 (tuple u8 u8)) {doubled}
      (import "wasm-graph:processor/logger@1.1.0" (instance
        (alias outer 1 $t14 (type $t)) (export "log" (func (param "level" $t))))))"""
    made = wasmtime.component.Component(guest.engine.native(), text)
    from flowrt.wasm.component.factory import objections

    assert any("imports log of" in words for words in objections(guest.engine, made, "map"))


def test_a_file_that_is_no_component(start):
    with pytest.raises(StartError, match="does not compile"):
        start(b"\0asm\x0d\0\1\0\1\4asdf")


def test_a_topic_that_is_not_text(guest):
    body = f"(i32.store8 (i32.load offset=52 (local.get $model)) (i32.const 255)) {ECHO}"
    instance = guest(component({"map": body}))
    output = instance.map(batch(b"1", b"2"))
    assert [str(fault) for fault in output.errors.values()] == ["abi: it gave a topic that is not UTF-8"] * 2
    assert instance.memory_bytes() > 0


def test_a_property_that_is_not_text_ends_the_call(guest):
    body = f"(i32.store8 (i32.load offset=4 (i32.load offset=88 (local.get $model))) (i32.const 255)) {ECHO}"
    with pytest.raises(GuestTrap, match="invalid utf-8"):
        guest(component({"map": body})).map(batch(b""))


def test_a_log_line_of_a_hundred_megabytes_is_cut(guest):
    body = f"(call $log (i32.const 2) (i32.const 0) (i32.const 0) (global.get $at) (i32.const 100000000)) {ECHO}"
    code = component(
        {"map": body},
        init="""(global.set $at (call $alloc (i32.const 100000000)))
          (memory.fill (global.get $at) (i32.const 65) (i32.const 100000000)) (i32.const 1)""",
        extra="(global $at (mut i32) (i32.const 0))",
    )
    assert guest(code, memory="256Mi").map(batch(b"1")).payloads == [b"1"]
    assert guest.texts() == [("info", "A" * 8192)]


def test_lines_above_the_quota_are_left_out(guest):
    body = f"""(local.set $at (i32.const 10000))
      (loop $more
        (call $log (i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 1))
        (br_if $more (local.tee $at (i32.sub (local.get $at) (i32.const 1))))) {ECHO}"""
    assert guest(component({"map": body})).map(batch(b"1")).payloads == [b"1"]
    assert len(guest.events) <= 300


def multiplied(count, size):
    """Gives `count` user properties that are all the same `size` bytes of its memory."""
    return f"""(local $list i32) (local $i i32) (local $big i32)
      (local.set $big (call $alloc (i32.const {size})))
      (memory.fill (local.get $big) (i32.const 97) (i32.const {size}))
      (local.set $list (call $alloc (i32.const {24 * count})))
      (loop $more
        (local.set $at (i32.add (local.get $list) (i32.mul (local.get $i) (i32.const 24))))
        (i32.store8 (local.get $at) (i32.const 1))
        (i32.store offset=4 (local.get $at) (local.get $big))
        (i32.store offset=8 (local.get $at) (i32.const {size}))
        (i32.store8 offset=12 (local.get $at) (i32.const 1))
        (i32.store offset=20 (local.get $at) (i32.const 0))
        (br_if $more (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {count}))))
      (i32.store offset=88 (local.get $model) (local.get $list))
      (i32.store offset=92 (local.get $model) (i32.const {count}))
      {ECHO}"""


def echoing(body):
    """A map whose body has locals of its own."""
    return component(
        {"map": "(call $own (local.get $model))"},
        extra=f"(func $own (param $model i32) (result i32) (local $at i32) {body})",
    )


def test_what_a_guest_multiplies_is_bounded(guest):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(GuestTrap, match="too much data"):
        guest(echoing(multiplied(20_000, 1_000_000))).map(batch(b""))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) << 10
    assert grown < 256 << 20


@pytest.mark.parametrize(
    ("count", "size", "words"),
    [(2000, 1, "2000 user properties; 1024 are the most"), (1, 70_000, "a text of more than 65535 bytes")],
)
def test_heads_have_bounds(guest, count, size, words):
    assert words in guest(echoing(multiplied(count, size))).map(batch(b"")).errors[0].detail


def test_a_payload_larger_than_the_node_makes(guest):
    body = f"(i32.store offset=84 (local.get $model) (i32.const 200)) {ECHO}"
    output = guest(component({"map": body}), message=100).map(batch(b"1"))
    assert str(output.errors[0]) == "size: it made a payload of 200 bytes; the node makes at most 100"


def test_a_payload_beyond_the_memory_ends_the_call(guest):
    body = f"(i32.store offset=84 (local.get $model) (i32.const 0x7fffffff)) {ECHO}"
    with pytest.raises(GuestTrap):
        guest(component({"map": body})).map(batch(b"1"))


def test_a_buffer_that_it_does_not_have(guest):
    body = f"""(i32.store8 offset=76 (local.get $model) (i32.const 0))
      (i32.store offset=80 (local.get $model) (i32.const 77)) {ECHO}"""
    with pytest.raises(GuestTrap, match="unknown handle index 77"):
        guest(component({"map": body})).map(batch(b"1"))


def test_a_buffer_given_back_twice(guest):
    body = f"""(i32.store8 offset=48 (local.get $model) (i32.const 0))
      (i32.store offset=52 (local.get $model) (i32.load offset=80 (local.get $model))) {ECHO}"""
    with pytest.raises(GuestTrap):
        guest(component({"map": body})).map(batch(bytes(1000)))


def test_a_topic_may_be_a_buffer(guest):
    body = f"""(i32.store8 offset=48 (local.get $model) (i32.const 0))
      (i32.store offset=52 (local.get $model) (i32.load offset=80 (local.get $model)))
      (i32.store8 offset=76 (local.get $model) (i32.const 1))
      (i32.store offset=84 (local.get $model) (i32.const 0)) {ECHO}"""
    output = guest(component({"map": body})).map(batch(b"t" * 200))
    assert (output.heads[0].topic, output.payloads) == ("t" * 200, [b""])


def test_a_payload_too_large_for_the_memory_is_not_read(guest):
    payload = bytes(1_000_000)
    assert guest(component({"map": ECHO}), memory="1Mi").map(batch(payload)).payloads == [payload]
    with pytest.raises(GuestTrap, match=r"memory: it asked for more memory than its quota of 1Mi"):
        guest(component({"map": READ}), memory="1Mi").map(batch(payload))


def test_where_a_payload_cannot_cross_in_place_the_way_it_crosses_counts(guest, monkeypatch):
    """As of a component with several memories."""
    monkeypatch.setattr(lists, "in_place", bytes)
    payload = bytes(100_000)
    with pytest.raises(GuestTrap, match=r"memory: reading a payload of .* takes .* while it crosses; its quota is 1Mi"):
        guest(component({"map": READ}), memory="1Mi").map(batch(payload))
    assert guest(component({"map": READ}), memory="8Mi").map(batch(payload)).payloads == [payload]


KEEP = """(call $fail (i32.load offset=52 (local.get $model)) (i32.const 5))"""


def test_buffers_that_a_guest_hoards_count_against_its_memory(guest):
    instance = guest(component({"map": KEEP}), memory="1Mi")
    with pytest.raises(GuestTrap, match="memory: it keeps buffers"):
        instance.map(batch(*[bytes(300_000)] * 20))


def test_a_socket_that_was_not_granted_is_denied_and_the_graph_goes_on(start):
    """Importing sockets is legal, as every component made of Python does; a call is answered with an error."""
    instance = start(CONNECTING)()
    assert instance.map(batch(b"", b"")).errors == {0: "example.com", 1: "example.com"}
    instance.close()


STDOUT = """
(import "wasi:io/error@0.2.0" (instance $errors (export "error" (type (sub resource)))))
(alias export $errors "error" (type $io-error))
(import "wasi:io/streams@0.2.0" (instance $streams
  (alias outer 1 $io-error (type $1)) (export "error" (type $error (eq $1)))
  (export "output-stream" (type $output (sub resource)))
  (type $2 (variant (case "last-operation-failed" (own $error)) (case "closed")))
  (export "stream-error" (type $failed (eq $2)))
  (export "[method]output-stream.blocking-write-and-flush" (func (param "self" (borrow $output))
    (param "contents" (list u8)) (result (result (error $failed)))))))
(alias export $streams "output-stream" (type $output))
(import "wasi:cli/stdout@0.2.0" (instance $out
  (alias outer 1 $output (type $1)) (export "output-stream" (type $output (eq $1)))
  (export "get-stdout" (func (result (own $output))))))
"""


def test_what_is_written_to_standard_output_becomes_log_lines(start, guest):
    lowered = f"""
      (core func $out (canon lower (func $out "get-stdout")))
      (core func $put (canon lower
        (func $streams "[method]output-stream.blocking-write-and-flush") {guests._OPTIONS}))"""
    body = f"(call $put (call $out) (i32.const 1024) (i32.const 11) (call $alloc (i32.const 16))) {ECHO}"
    code = core(
        {"map": body},
        extra='(data (i32.const 1024) "one\\0atwo\\0aend")',
        imports="""(import "host" "out" (func $out (result i32)))
          (import "host" "put" (func $put (param i32 i32 i32 i32)))""",
    )
    instance = start(with_wasi(code, STDOUT, lowered, ["out", "put"]))()
    assert instance.map(batch(b"1")).payloads == [b"1"]
    instance.close()
    assert guest.texts() == [("info", "one"), ("info", "two"), ("info", "end")]


def test_a_failing_guest_does_not_touch_its_neighbour(guest):
    good, bad = guest(component({"map": ECHO})), guest(component({"map": "(unreachable)"}))
    for _ in range(3):
        with pytest.raises(GuestTrap):
            bad.map(batch(b"1"))
        bad = guest(component({"map": "(unreachable)"}))
        assert good.map(batch(b"1", head=HEAD)).payloads == [b"1"]


def test_a_call_that_sleeps_with_the_engine_is_given_up_and_a_fresh_instance_goes_on(guest):
    """It would sleep for years; what it holds stays the node's, and so few may do so that the node rests in the end."""
    make = guest.factory(sleeping(milliseconds=10**9), deadline="20ms", memory="1Mi")
    for number in range(1, GIVEN_UP_MAX + 1):
        instance = make()
        with pytest.raises(GuestTrap, match=rf"longer than 0\.02 s .* is given up \({number} of {GIVEN_UP_MAX}\)"):
            instance.map(batch(b"1"))
        instance.close()
        assert instance.memory_bytes() >= number * 2**16
    assert guest.counters.given_up == GIVEN_UP_MAX

    resting = make()
    with pytest.raises(NodeFault, match="disabled: the node rests: 4 calls of it sleep with the host") as caught:
        resting.map(batch(b"1"))
    assert not isinstance(caught.value, GuestTrap)
    resting.close()


def test_a_node_that_rested_goes_on_when_a_call_is_back(guest):
    make = guest.factory(sleeping(milliseconds=3000), deadline="20ms")
    instance = make()
    with pytest.raises(GuestTrap, match="is given up"):
        instance.map(batch(b"1"))
    absent = make._absent
    resting = Resting(absent, "a test")
    with pytest.raises(NodeFault, match="disabled"):
        resting.map(batch(b"1"))
    for hands in absent._hands:
        hands.thread.join(60)
    with pytest.raises(GuestTrap, match="a fresh instance goes on"):
        resting.map(batch(b"1"))
    assert absent.memory_bytes() == 0


def test_a_short_sleep_is_none(guest):
    assert guest(sleeping(milliseconds=1), deadline="5s").map(batch(b"1")).payloads == [b"1"]
