"""Nodes in processes of their own do what they do in a thread, and nothing that happens there happens here."""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

import pytest
import wasmtime

sys.path.insert(0, str(Path(__file__).parents[1] / "hostile"))
from hostile_bench import HEALTHY, Bench

from flowrt.counters import NodeCounters
from flowrt.errors import GuestTrap, StartError
from flowrt.events import NodeFaulted, NodeRestarted
from flowrt.isolation import landlock, process
from flowrt.isolation import operator as isolated
from flowrt.isolation.cgroup import Cgroup
from flowrt.isolation.confine import data_bytes
from flowrt.isolation.operator import IsolatedOperator
from flowrt.quota.bucket import Bucket
from flowrt.quota.meter import Meter
from flowrt.quota.priority import Priority
from flowrt.quota.resources import Resources
from flowrt.testing import batch_of

COPY = "{operationType: map, name: node, module: passthrough, resources: {isolation: process}}"
ALL = [payload for batch in HEALTHY for payload in batch]


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.close()


def test_a_guest_in_a_process_of_its_own_does_its_work(bench):
    node = bench.run(COPY, sent=HEALTHY)

    assert [message.payload for message in bench.ends["hostile"].sinks["out"].messages] == ALL
    assert bench.ends["hostile"].sources["in"].acknowledged == 4000
    assert node.counters.cpu_seconds > 0


def test_what_a_guest_refuses_comes_back_as_it_does_from_a_thread(bench):
    good = b'{"v":[' + b",".join(b"%d" % i for i in range(16)) + b"]}"

    node = bench.run(COPY.replace("passthrough", "bench-parse"), sent=[[good, b"no json", good]])

    assert node.counters.faults == {"error": 1}
    assert bench.dead() == [("hostile", "node", "error")]
    assert len(bench.ends["hostile"].sinks["out"].messages) == 2
    assert bench.ends["hostile"].sinks["out"].messages[0].head.tensors[0].shape == (16,)


@pytest.mark.parametrize("deadly", [signal.SIGSEGV, signal.SIGKILL])
def test_a_node_whose_process_is_killed_loses_no_message(bench, deadly):
    """Killed while 4000 messages pass: what it was at is run again in a fresh process."""

    def kill():
        bench.ends["hostile"].sinks["out"].wait_for(400, 60)
        os.kill(bench.runtime.graphs[0].nodes["node"].operator.pid, deadly)

    bench.build(COPY, sent=HEALTHY)
    killer = threading.Thread(target=kill)
    bench.ends["hostile"].sink(type("out", (), {"name": "out"}))
    killer.start()
    bench.runtime.start()
    for graph in bench.runtime.graphs:
        assert graph.finished.wait(60)
    killer.join()
    bench.runtime.stop(60)

    assert [message.payload for message in bench.ends["hostile"].sinks["out"].messages] == ALL
    restarts = [(event.graph, event.node) for event in bench.events if isinstance(event, NodeRestarted)]
    assert restarts in ([], [("hostile", "node")])  # none: it had done its work by then
    assert [event for event in bench.events if isinstance(event, NodeFaulted)] == []


class Run:
    """What a child runs when it is told to load this: code of our choice, natively, beside the engines."""

    def __init__(self, code):
        self.code = code

    def __reduce__(self):
        return exec, (self.code,)


@pytest.fixture
def run(monkeypatch):
    monkeypatch.setattr(isolated, "START_SECONDS", 20.0)

    def run(code, *, meter=None, **resources):
        meter = meter or Meter(NodeCounters())
        with pytest.raises(GuestTrap) as caught:
            IsolatedOperator(
                Run(code), Resources(**resources), meter, lambda *_: None, NodeCounters(), {}, limit_first=True
            )
        return caught.value.kind, caught.value.detail

    return run


@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        ("import ctypes; ctypes.string_at(0)", "crash", "its process was ended by SIGSEGV"),
        ("import os; os.abort()", "crash", "its process was ended by SIGABRT"),
        ("import os; os._exit(7)", "crash", "its process ended with status 7"),
        ("import os\nwhile True: os.fork()", "internal", "PermissionError"),
        ("import os; os.posix_spawn('/bin/true', ['true'], {})", "internal", "PermissionError"),
        ("import os; os.execv('/bin/true', ['true'])", "internal", "PermissionError"),
        ("import os; os.kill(os.getppid(), 9)", "internal", "PermissionError"),
        ("import os; os.setpgid(0, os.getpgid(os.getppid()))", "internal", "PermissionError"),
        ("import socket; socket.socket()", "internal", "PermissionError"),
        ("import resource; resource.setrlimit(resource.RLIMIT_DATA, (-1, -1))", "internal", "not allowed"),
        ("held = []\nwhile True: held.append(bytearray(1 << 20))", "memory", "no memory left"),
        ("import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(60,)).start()", "", ""),
    ],
    ids=["a wild read", "abort", "exit", "a fork bomb", "spawn", "exec", "kill", "its parent's group", "a socket",
         "its limits", "all the memory", "a thread bomb"],
)  # fmt: skip
def test_native_code_that_runs_riot_ends_or_is_refused(run, code, kind, words):
    found, detail = run(code, memory="128Mi")

    if kind:
        assert found == kind
        assert words in detail
    else:  # out of stacks or over the parent's count, whichever comes first
        assert found in {"crash", "internal", "memory"}


def test_a_process_of_its_own_never_holds_more_than_its_memory(monkeypatch):
    held = []
    from flowrt.isolation.process import Child

    looked = Child._count

    def look(child):
        if child.baseline:
            held.append(data_bytes(child.pid) - child.baseline)
        looked(child)

    monkeypatch.setattr(Child, "_count", look)
    code = """import time
held = []
try:
    while True: held.append(bytearray(1 << 16))
except MemoryError:
    time.sleep(0.2)
    raise"""
    with pytest.raises(GuestTrap):
        IsolatedOperator(
            Run(code),
            Resources(memory="64Mi"),
            Meter(NodeCounters()),
            lambda *_: None,
            NodeCounters(),
            {},
            limit_first=True,
        )

    assert 32 * 2**20 < max(held) <= 64 * 2**20 * 1.1


def test_an_endless_native_call_is_ended_and_was_made_to_wait_for_its_share(monkeypatch):
    counters = NodeCounters()
    meter = Meter(counters, [Bucket(0.2, 0.0, burst=0)])
    with contextlib.suppress(GuestTrap):
        IsolatedOperator(Run("pass"), Resources(), meter, lambda *_: None, NodeCounters(), {}, limit_first=True)
    monkeypatch.setattr(isolated, "START_SECONDS", 0.3)

    with pytest.raises(GuestTrap) as caught:
        IsolatedOperator(
            Run("while True: pass"), Resources(), meter, lambda *_: None, NodeCounters(), {}, limit_first=True
        )

    assert caught.value.kind == "deadline"
    assert counters.throttled_seconds > 0
    assert counters.cpu_seconds > 0.2


@pytest.mark.skipif(not Priority.can_yield(), reason="priorities can only be lowered for good")
def test_a_process_past_its_share_lets_others_go_first(monkeypatch):
    """All its threads, until it has its burst back, which takes a tenth of a second of its sleep."""
    seen, put = [], process.Child._let_others_first

    def look(child, *, yes):
        put(child, yes=yes)
        seen.append((yes, policies(child)))

    monkeypatch.setattr(process.Child, "_let_others_first", look)
    meter = Meter(NodeCounters(), [Bucket(0.5, time.monotonic())])
    code = "import time\nuntil = time.process_time() + 0.3\nwhile time.process_time() < until: pass\ntime.sleep(0.5)"
    with contextlib.suppress(GuestTrap):
        IsolatedOperator(Run(code), Resources(), meter, lambda *_: None, NodeCounters(), {}, limit_first=True)

    assert (True, {os.SCHED_IDLE}) in seen
    assert (False, {os.SCHED_OTHER}) in seen[seen.index((True, {os.SCHED_IDLE})) :]


def policies(child):
    return {os.sched_getscheduler(int(task.name)) for task in Path(f"/proc/{child.pid}/task").iterdir()}


@pytest.fixture
def child():
    """A process that can be asked, started again or for the first time, with a share or without."""
    made = []

    def make(*buckets, cgroup=None, again=False):
        made.append(process.Child(1 << 20, Meter(NodeCounters(), buckets), cgroup, again=again))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.mark.skipif(not Priority.can_yield(), reason="priorities can only be lowered for good")
def test_a_process_that_is_started_again_lets_others_go_first_until_it_has_loaded_its_node(child):
    assert policies(child()) == {os.SCHED_OTHER}

    again = child(again=True)
    assert policies(again) == {os.SCHED_IDLE}
    again.started()
    assert policies(again) == {os.SCHED_OTHER}


@pytest.mark.skipif(not Priority.can_yield(), reason="priorities can only be lowered for good")
def test_it_does_not_wait_for_ever_for_a_core_that_nobody_leaves(child, monkeypatch):
    monkeypatch.setattr(process, "GIVE_WAY_SECONDS", 0.0)

    assert policies(child(again=True)) == {os.SCHED_OTHER}


def test_a_process_competes_with_our_threads_one_by_one(child, monkeypatch):
    """A session of its own would have as much of a core as all of them together, whatever its priority. Where nothing
    keeps it from the file that says how much a session has, it gets one."""
    if landlock.version():
        ours = child().pid
        assert (os.getsid(ours), os.getpgid(ours)) == (os.getsid(0), ours)
    monkeypatch.setattr(landlock, "version", lambda: 0)
    own = child().pid
    assert (os.getsid(own), os.getpgid(own)) == (own, own)


def test_a_process_whose_group_is_gone_is_no_start_and_leaves_nothing(child, tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    group = Cgroup(tmp_path, "node", 2**28, 0.5)
    shutil.rmtree(group.path)
    before = len(list(Path("/proc/self/fd").iterdir()))

    with pytest.raises(StartError, match=r"does not come up: .*No such file"):
        child(cgroup=group)

    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_where_it_has_a_group_the_group_lets_others_go_first(child, tmp_path, monkeypatch):
    monkeypatch.setattr(process.Priority, "can_yield", lambda: False)
    (tmp_path / "cgroup.controllers").write_text("cpu memory")
    group = Cgroup(tmp_path, "node", 2**28, 0.5)

    again = child(cgroup=group, again=True)
    assert (group.path / "cpu.idle").read_text() == "1"
    again.started()
    assert (group.path / "cpu.idle").read_text() == "0"


def test_a_native_call_that_sleeps_is_ended_when_its_time_is_up(monkeypatch):
    """One that is ready to run, and has no core, has far longer."""
    monkeypatch.setattr(isolated, "START_SECONDS", 0.3)
    monkeypatch.setattr(process, "WAITING", 10**6)

    with pytest.raises(GuestTrap, match=r"its process took longer than 0\.3 s") as caught:
        IsolatedOperator(
            Run("import time; time.sleep(3600)"), Resources(), Meter(NodeCounters()), lambda *_: None, NodeCounters(),
            {}, limit_first=True,
        )  # fmt: skip
    assert caught.value.kind == "deadline"


RESTLESS = """
import threading, flowrt.runtime.build as build
def spin():
    while True: pass
class Restless:
    def process(self, batch):
        from flowrt.operators.base import Emission
        if threading.active_count() < 4:
            threading.Thread(target=spin, daemon=True).start()
        return Emission((batch,))
    def memory_bytes(self): return 0
build.alone.__code__ = (lambda parts, emit: (parts, NodeCounters(), {})).__code__
"""


class Restless(Run):
    """Loads an operator that leaves a thread behind at every batch. The last line of its code makes the child take what
    it was sent as the operator itself."""

    def __reduce__(self):
        return eval, (f"(space := {{}}, exec({self.code!r}, space))[0]['Restless']()",)


def test_threads_that_a_node_leaves_behind_run_only_while_it_is_asked():
    made = IsolatedOperator(
        Restless(RESTLESS), Resources(), Meter(NodeCounters()), lambda *_: None, NodeCounters(), {}, limit_first=True
    )
    made.process(batch_of([b"a"]))

    assert state_of(made.pid) == "T"
    assert made.process(batch_of([b"b"])).ports[0].payloads == [b"b"]
    assert state_of(made.pid) == "T"
    made.close()


def state_of(pid):
    """As /proc tells it: T is stopped."""
    for _ in range(10_000):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        if state == "T":
            return state
        threading.Event().wait(0.001)
    return state


COUNTING = """
(module
  (memory (export "memory") 2)
  (global $seen (mut i32) (i32.const 0))
  (func (export "flowrt_abi") (result i32) i32.const 1)
  (func (export "flowrt_buffer") (param i32) (result i32) i32.const 4096)
  (func (export "flowrt_save") (result i32)
    (i32.store (i32.const 64) (global.get $seen))
    (i32.store (i32.const 0) (i32.const 64)) (i32.store (i32.const 4) (i32.const 4)) (i32.const 0))
  (func (export "flowrt_restore") (param $at i32) (param i32) (result i32)
    (global.set $seen (i32.load (local.get $at))) (i32.const 0))
  (func (export "flowrt_map") (param $in i32) (param $count i32) (result i32)
    (global.set $seen (i32.add (global.get $seen) (local.get $count)))
    (i32.store (i32.const 128) (global.get $seen))
    (i32.store (i32.const 0) (i32.const 1024)) (i32.store (i32.const 4) (i32.const 1))
    (i32.store (i32.const 1024) (i32.sub (local.get $count) (i32.const 1)))
    (i32.store (i32.const 1028) (i32.const 128)) (i32.store (i32.const 1032) (i32.const 4))
    (i32.store (i32.const 1036) (i32.const 0)) (i32.const 0)))
"""
"""Says after each batch how many messages it has seen, and keeps that number as its state."""


def test_a_guests_state_outlives_its_process(bench):
    (bench.path / "counting.wasm").write_bytes(wasmtime.wat2wasm(COUNTING))
    bench.build(COPY.replace("passthrough", "counting"))
    node = bench.runtime.graphs[0].nodes["node"]
    seen = []
    node.targets = [[lambda batch: seen.append(int.from_bytes(batch.payloads[-1], "little"))]]

    node.accept(batch_of([b"a"] * 3))
    os.kill(node.operator.pid, signal.SIGKILL)
    node.accept(batch_of([b"a"]))

    assert seen == [3, 4]
    assert node.counters.restarts == 1
