"""What processes of nodes are confined with, beside what hostile libraries find out (tests/hostile)."""

import contextlib
import os
import platform
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flowrt.isolation import landlock
from flowrt.isolation.idle import Nursery
from flowrt.isolation.seccomp import NEVER, SELDOM

HEADERS = {
    "x86_64": Path(f"/usr/include/{platform.machine()}-linux-gnu/asm/unistd_64.h"),
    "aarch64": Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("machine", HEADERS)
def test_the_numbers_are_the_kernels(machine):
    if not HEADERS[machine].exists():
        pytest.skip("no kernel headers; apt-get install linux-libc-dev")
    lines = re.findall(r"#define __NR(?:3264)?_(\w+)\s+(\d+)", HEADERS[machine].read_text())
    known = {name: int(number) for name, number in lines}
    for name, number in {**SELDOM[machine], **NEVER[machine]}.items():
        assert known.get(name, number) == number, name


def test_both_machines_refuse_the_same():
    only_old = {"fork", "vfork", "iopl", "ioperm"}
    assert set(NEVER["x86_64"]) - set(NEVER["aarch64"]) == only_old
    assert set(SELDOM["x86_64"]) == set(SELDOM["aarch64"])


PARENT = """
import subprocess, sys
from flowrt.isolation.idle import NURSERY
class Child:
    def look(self): pass
command = [sys.executable, "-c", '''
import os, signal
from flowrt.isolation.confine import confine
confine(%d, [])
print(os.getpid(), flush=True)
signal.pause()
''' % __import__("os").getpid()]
NURSERY.start(Child(), lambda: subprocess.Popen(command))
import time
time.sleep(60)
"""


def test_a_child_ends_with_its_parent_even_when_it_is_stopped():
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        os.kill(child, signal.SIGSTOP)
        parent.kill()

    assert gone(child)


IN_A_TERMINAL = """
from pathlib import Path
from flowrt.counters import NodeCounters
from flowrt.isolation.process import Child
from flowrt.quota.meter import Meter
def terminal(pid): return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[4]
child = Child(1 << 20, Meter(NodeCounters()), None)
print("terminals", terminal("self") != "0", terminal(child.pid) != "0", flush=True)
child.close()
"""


@pytest.mark.skipif(not landlock.version(), reason="without Landlock it has a session of its own")
def test_a_child_leaves_the_terminal_of_its_parent():
    """Where it could write what the user seems to have typed, and take Ctrl-C for itself."""
    pid, terminal = pty.fork()
    if not pid:
        try:
            os.execv(sys.executable, [sys.executable, "-c", IN_A_TERMINAL])
        finally:
            os._exit(127)
    said = b""
    with contextlib.suppress(OSError):  # the kernel's word for its end
        while part := os.read(terminal, 4096):
            said += part
    os.waitpid(pid, 0)
    os.close(terminal)

    assert b"terminals True False" in said


def gone(pid):
    for _ in range(2000):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in "ZX":
            return True
        signal.sigtimedwait([], 0.005)
    return False


def test_the_nursery_ends_its_thread_with_its_last_child_and_begins_anew():
    class Child:
        def look(self):
            pass

    nursery = Nursery()
    for _ in range(2):
        child = Child()
        done = nursery.start(child, lambda: subprocess.Popen([sys.executable, "-c", ""]))
        nursery.leave(child)
        assert done.wait(60) in {0, -signal.SIGKILL}
