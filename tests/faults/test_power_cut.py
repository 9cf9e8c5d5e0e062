"""The disk that forgets what was not synced: what it leaves, and that it tells a durable store from another."""

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from random import Random

import pytest

from benchmarks.faults.shims.build import compiler
from benchmarks.faults.shims.disk import contents, environment, power_cut

pytestmark = pytest.mark.skipif(compiler() is None, reason="there is no C compiler")


@pytest.fixture
def disk(tmp_path):
    (tmp_path / "disk").mkdir()
    return tmp_path / "disk"


def run(disk, program, lines=None):
    """Run a program on the disk and kill it after so many lines; what it printed."""
    env = {**os.environ, **environment(disk, disk.parent / "journal")}
    child = subprocess.Popen([sys.executable, "-c", program], cwd=disk, env=env, stdout=subprocess.PIPE, text=True)
    with child:
        printed = [child.stdout.readline() for _ in range(lines)] if lines else child.stdout.readlines()
        child.kill()
    return [line.strip() for line in printed]


def left(disk, survives=0.0, seed=1):
    power_cut(disk, disk.parent / "journal", {}, Random(seed), survives)
    return {name.rpartition("/")[2]: data for name, data in contents(disk).items()}


WRITES = """
import os
def write(name, data, sync):
    with open(name, "wb") as file:
        file.write(data)
        file.flush()
        if sync:
            os.fsync(file.fileno())
write("never", b"1", False)
write("synced", b"2", True)
with open("synced", "ab") as file:
    file.write(b"more")
write("new", b"3", True)
os.rename("new", "renamed")
write("last", b"4", False)
"""


def test_what_was_not_synced_is_gone(disk):
    """`never` has its name, because something in the folder was synced after it; the renaming came too late."""
    run(disk, WRITES)
    assert left(disk) == {"never": b"", "synced": b"2", "new": b"3"}


def test_some_of_it_may_survive_sector_by_sector(disk):
    run(disk, 'open("synced", "wb").write(b"x" * 512 * 64); f = open("other", "w"); import os; os.fsync(f.fileno())')
    data = left(disk, survives=0.5)["synced"]
    kept = [data[at : at + 512] == b"x" * 512 for at in range(0, len(data), 512)]
    assert 0 < sum(kept) < 64


STORE = """
import sqlite3, sys
db = sqlite3.connect("store", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous={}")
db.execute("CREATE TABLE kept (number)")
for number in range(100000):
    db.execute("INSERT INTO kept VALUES (?)", (number,))
    print(number, flush=True)
"""


@pytest.mark.parametrize(("synchronous", "durable"), [("FULL", True), ("OFF", False)])
@pytest.mark.parametrize("survives", [0.0, 0.5])
def test_a_store_that_does_not_sync_is_found_out(disk, synchronous, durable, survives):
    printed = run(disk, STORE.format(synchronous), lines=50)
    left(disk, survives)
    try:
        with closing(sqlite3.connect(disk / "store")) as db:
            kept = {str(number) for (number,) in db.execute("SELECT number FROM kept")}
    except sqlite3.Error:
        kept = set()
    assert (set(printed) <= kept) == durable
