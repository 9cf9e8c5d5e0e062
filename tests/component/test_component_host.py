"""What components get from the host: log, metrics, state store, standard output."""

import pytest
from component_guests import ECHO, batch, component

from flowrt.counters import Histogram
from flowrt.errors import GuestTrap
from flowrt.events import GuestLogged
from flowrt.state.store import StateStore, Version

DATA = '(data (i32.const 1024) "statuscountertoo bad!keyvalue") '
COUNT = """(import "host" "add-to-counter" (func $count
  (param i32 i32 i32 i64 i32 i32 i32 i32)))"""
OBSERVE = """(import "host" "record-to-histogram" (func $observe
  (param i32 i32 i32 i64 i32 i32 i32 i32)))"""
GET = '(import "host" "state-get" (func $get (param i32 i32 i32 i64 i32 i32)))'
SET = '(import "host" "state-set" (func $set (param i32 i32)))'


def test_a_line_of_the_log(guest):
    body = f"""(call $log (i32.const 5) (i32.const 1024) (i32.const 6) (i32.const 1037) (i32.const 8))
      (call $log (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 1024) (i32.const 6)) {ECHO}"""
    guest(component({"map": body}, extra=DATA)).map(batch(b""))
    assert guest.events == [
        GuestLogged("g", "n", "error", "status: too bad!"),
        GuestLogged("g", "n", "warning", "status"),
    ]


def counting(at, size, amount=2, call="$count", kind=0):
    return f"""(local.set $at (call $alloc (i32.const 16)))
      (call {call} (i32.const {at}) (i32.const {size}) (i32.const {kind}) (i64.const {amount})
        (i32.const 0) (i32.const 0) (i32.const 0) (local.get $at))
      (call $fail (i32.load offset=8 (local.get $at)) (i32.load offset=12 (local.get $at)))
      (drop) (call $verdict (i32.load8_u (local.get $at)))"""


def test_a_counter_under_the_guests_own_name(guest):
    instance = guest(component({"filter": counting(1030, 7)}, extra=DATA, imports=COUNT), "filter")
    assert instance.decide("filter", batch(b"", b"", b""))[0] == b"\0\0\0"
    assert guest.metrics.series == {("counter", ()): 6}


def test_a_bad_name_is_refused(guest):
    instance = guest(component({"filter": counting(1037, 7)}, extra=DATA, imports=COUNT), "filter")
    assert instance.decide("filter", batch(b""))[0] == b"\1"
    assert (guest.metrics.series, guest.metrics.refused) == ({}, 1)


def test_a_histogram(guest):
    # 2.5 as a double: the case f64
    code = component({"filter": counting(1024, 6, 0x4004000000000000, "$observe", 0)}, extra=DATA, imports=OBSERVE)
    guest(code, "filter").decide("filter", batch(b"", b""))
    found = guest.metrics.series["status", ()]
    assert isinstance(found, Histogram)
    assert (found.count, found.sum) == (2, 5.0)


LABELLED = """(local.set $at (call $alloc (i32.const 32)))
  (i32.store (local.get $at) (i32.const 1045)) (i32.store offset=4 (local.get $at) (i32.const 3))
  (i32.store offset=8 (local.get $at) (i32.const 1048)) (i32.store offset=12 (local.get $at) (i32.const 5))
  (call $count (i32.const 1030) (i32.const 7) (i32.const 0) (i64.const 1)
    (i32.const 1) (local.get $at) (i32.const 1) (i32.add (local.get $at) (i32.const 16)))
  (call $verdict (i32.load8_u offset=16 (local.get $at)))"""


def test_labels(guest):
    instance = guest(component({"filter": LABELLED}, extra=DATA, imports=COUNT), "filter")
    assert instance.decide("filter", batch(b""))[0] == b"\0"
    assert guest.metrics.series == {("counter", (("key", "value"),)): 1}


# `state-set` takes its arguments as one record: key, value, timeout, token, options.
SET_KEY = """(local.set $at (call $alloc (i32.const 256)))
  (i32.store (local.get $at) (i32.const 1045)) (i32.store offset=4 (local.get $at) (i32.const {key}))
  (i32.store offset=8 (local.get $at) (i32.const 1048)) (i32.store offset=12 (local.get $at) (i32.const 5))
  (i32.store8 offset=16 (local.get $at) (i32.const 0))
  (i32.store8 offset=40 (local.get $at) (i32.const 0))
  (i32.store8 offset=80 (local.get $at) (i32.const {condition}))
  (i32.store8 offset=88 (local.get $at) (i32.const 0))
  (call $set (local.get $at) (i32.add (local.get $at) (i32.const 128)))
  (call $verdict (i32.or (i32.load8_u offset=128 (local.get $at))
                         (i32.load8_u offset=136 (local.get $at))))"""


def test_a_key_is_set_in_the_state_store(guest):
    instance = guest(component({"filter": SET_KEY.format(key=3, condition=0)}, extra=DATA, imports=SET), "filter")
    assert instance.decide("filter", batch(b"", b""))[0] == b"\1\0"  # the second time it exists
    assert guest.state.get(b"key")[0] == b"value"


def test_a_key_is_read_from_the_state_store(guest):
    guest.state.set(b"key", b"seeded")
    body = """(local.set $at (call $alloc (i32.const 128)))
      (call $get (i32.const 1045) (i32.const 3) (i32.const 0) (i64.const 0) (i32.const 0) (local.get $at))
      (if (i32.load8_u offset=8 (local.get $at)) (then (return
        (call $fail (i32.load offset=12 (local.get $at)) (i32.load offset=16 (local.get $at))))))
      (call $fail (i32.const 1024) (i32.const 6))"""
    instance = guest(component({"map": body}, extra=DATA, imports=GET))
    assert instance.map(batch(b"")).errors == {0: "seeded"}
    guest.state.delete(b"key")
    assert instance.map(batch(b"")).errors == {0: "status"}


ROOM = "(drop (call $alloc (i32.const 11000000))) (i32.const 1)"


def test_a_key_that_is_too_long_is_refused_and_the_instance_goes_on(guest):
    code = component({"filter": SET_KEY.format(key=1_000_000, condition=2)}, init=ROOM, extra=DATA, imports=SET)
    assert guest(code, "filter").decide("filter", batch(b"", b""))[0] == b"\1\1"
    assert guest.state.get(b"key") is None


def test_a_key_of_ten_megabytes_ends_the_call(guest):
    code = component({"filter": SET_KEY.format(key=10_000_000, condition=2)}, init=ROOM, extra=DATA, imports=SET)
    with pytest.raises(GuestTrap, match="too much data in one call"):
        guest(code, "filter").decide("filter", batch(b""))


@pytest.fixture
def clock():
    class Clock:
        ms = 1000

        def __call__(self):
            return self.ms

    return Clock()


def test_conditions_of_the_store(clock):
    store = StateStore(clock=clock)
    assert store.set(b"k", b"1", "new") == Version(1000, 0)
    assert store.set(b"k", b"2", "new") is None
    assert store.set(b"k", b"2", "newOrEqual") is None
    assert store.set(b"k", b"1", "newOrEqual") == Version(1000, 1)
    assert store.set(b"k", b"2") == Version(1000, 2)
    assert store.get(b"k") == (b"2", Version(1000, 2))
    assert store.delete(b"k", value=b"1") == -1
    assert (store.delete(b"k", value=b"2"), store.delete(b"k")) == (1, 0)


def test_a_key_expires(clock):
    store = StateStore(clock=clock)
    store.set(b"lock", b"me", "newOrEqual", expires_ms=10_000)
    clock.ms = 10_999
    assert store.get(b"lock") is not None
    assert store.set(b"lock", b"you", "newOrEqual") is None
    clock.ms = 11_000
    assert store.get(b"lock") is None
    assert store.set(b"lock", b"you", "newOrEqual") == Version(11_000, 0)


def test_an_older_fencing_token_is_refused(clock):
    from flowrt.state.store import Refused

    store = StateStore(clock=clock)
    store.set(b"k", b"1", fence=Version(5, 0))
    store.set(b"k", b"2", fence=Version(5, 1))
    for stale in (Version(5, 0), None):
        with pytest.raises(Refused, match="fencing token"):
            store.set(b"k", b"3", fence=stale)
    assert store.delete(b"k", fence=Version(6, 0)) == 1


def test_two_processes_agree_on_who_was_first(tmp_path):
    """Two stores of one file, as the workers of one graph have."""
    one, other = (StateStore(tmp_path / "state.sqlite") for _ in range(2))
    assert one.set(b"lock", b"one", "new") is not None
    assert other.set(b"lock", b"other", "new") is None
    assert other.get(b"lock")[0] == b"one"
    one.close()
    other.close()


def test_a_file_keeps_what_was_set(tmp_path):
    store = StateStore(tmp_path / "new" / "state.sqlite")
    version = store.set(b"k", b"v")
    store.close()
    again = StateStore(tmp_path / "new" / "state.sqlite")
    assert again.get(b"k") == (b"v", version)
    assert again.set(b"k", b"v") > version
    again.close()
