"""What an update has to compute stands back behind the messages: compiling in idle time, Python in short turns."""

import sys

import pytest

from flowrt.errors import StartError
from flowrt.updates.compiling import NICE, compile_apart
from flowrt.updates.turns import SHORT_TURNS, TURN_SECONDS
from flowrt.wasm.cache import CodeCache
from flowrt.wasm.engine import PLAIN, Engine
from flowrt.wasm.precompile import Wanted, command

WAITS_UNTIL = "import os, time\nwhile not ({}): time.sleep(0.01)"


def child(program):
    return [sys.executable, "-c", program]


def test_a_compiler_gets_the_time_that_nobody_else_wants():
    compile_apart(child(WAITS_UNTIL.format("os.sched_getscheduler(0) == os.SCHED_IDLE")), idle=60.0)


def test_where_there_is_no_such_time_it_begins_again_with_the_smallest_share():
    compile_apart(child(WAITS_UNTIL.format(f"os.getpriority(os.PRIO_PROCESS, 0) == {NICE}")), idle=0.1, most=60.0)


def test_one_that_does_not_end_is_ended():
    with pytest.raises(StartError, match="longer than"):
        compile_apart(child("import time; time.sleep(600)"), idle=0.1, most=0.1)


def test_what_does_not_compile_is_said_in_the_words_of_the_engine(tmp_path):
    (tmp_path / "m.wasm").write_bytes(b"\0asm\1\0\0\0\xff")

    with pytest.raises(StartError, match=r"module .*m\.wasm does not compile: .+"):
        compile_apart(command([Wanted(str(tmp_path / "m.wasm"), "core", False, 2**20)], interpreter=False))


def test_what_the_child_compiles_is_what_the_runtime_looks_for(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "m.wasm").write_bytes(b"\0asm\1\0\0\0")
    digest = "93a44bbb96c751218e4c00d479e4c14358122a389acca16205b1e4d0dc5f9476"
    engine = Engine()

    compile_apart(command([Wanted(str(tmp_path / "m.wasm"), "core", PLAIN.fuel, PLAIN.stack)], interpreter=False))

    assert CodeCache().holds(engine, f"sha256:{digest}")
    engine.close()


def test_turns_are_short_until_the_last_one_leaves():
    before = sys.getswitchinterval()

    with SHORT_TURNS:
        with SHORT_TURNS:
            assert sys.getswitchinterval() == pytest.approx(TURN_SECONDS)
        assert sys.getswitchinterval() == pytest.approx(TURN_SECONDS)

    assert sys.getswitchinterval() == pytest.approx(before)


def test_short_turns_end_with_what_went_wrong_in_them():
    before = sys.getswitchinterval()

    with pytest.raises(ZeroDivisionError), SHORT_TURNS:
        1 / 0  # noqa: B018

    assert sys.getswitchinterval() == pytest.approx(before)
