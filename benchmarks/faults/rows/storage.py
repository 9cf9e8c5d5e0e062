"""Disks that are full, read-only, or tell half of what was written."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from time import monotonic, sleep

from benchmarks.faults.shims.build import needs_compiler
from benchmarks.faults.shims.disk import contents, environment, power_cut
from benchmarks.faults.systems import Flowrt
from benchmarks.faults.world import Scenario, World
from benchmarks.processes import BenchError

FULL_KIB = 160
"""A store of dead letters, with its log, of some dozens."""


@cache
def needs_mount() -> str | None:
    """A tmpfs of our own is mounted over the state folder, so that its size and its writability can be changed."""
    if os.geteuid():
        return "only root may mount a small tmpfs over the state folder"
    probe = Path("/tmp") / f"flowrt-faults-probe-{os.getpid()}"
    probe.mkdir()
    try:
        mount(probe, "size=64k")
        subprocess.run(["umount", str(probe)], check=True, capture_output=True)
    except BenchError as error:
        return str(error)
    finally:
        probe.rmdir()
    return None


def mount(folder: Path, options: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    remount = f"remount,{options}" if os.path.ismount(folder) else options
    command = ["mount", "-t", "tmpfs", "-o", f"{remount},mode=700", "tmpfs", str(folder)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        raise BenchError(f"a small tmpfs cannot be mounted here: {done.stderr.strip()}")


def own_disk(world: World, options: str) -> None:
    mount(world.flowrt.state, options)
    world.defer(lambda: subprocess.run(["umount", "-l", str(world.flowrt.state)], check=False, capture_output=True))
    world.defer(world.system.close)  # before its disk goes


def await_log(world: World, word: str, seconds: float = 30.0) -> None:
    until = monotonic() + seconds
    while word not in world.system.process.output():
        if monotonic() > until:
            raise BenchError(f"no word of '{word}' in the log")
        sleep(0.05)


def fill_disk(world: World) -> None:
    """The state folder is full after some dozens of dead letters; after a while there is room again."""
    own_disk(world, f"size={FULL_KIB}k")
    world.start()
    await_log(world, "cannot be written")
    sleep(world.scale.outage)
    mount(world.flowrt.state, "size=64m")
    world.over()


def read_only(world: World) -> None:
    """The state folder cannot be written to, as a file system that found an error; it is mended under load."""
    own_disk(world, "size=64m")
    mount(world.flowrt.state, "ro,size=64m")
    world.start()
    await_log(world, "cannot be written")
    sleep(world.scale.outage)
    mount(world.flowrt.state, "rw,size=64m")
    world.over()


def _kill(world: World) -> None:
    world.flowrt.process.kill()
    world.interrupted()


def _killed(world: World) -> Flowrt:
    world.start()
    world.wait_share(0.4, 0.5)
    _kill(world)
    sleep(0.2)
    return world.flowrt


def tear_letters(world: World) -> None:
    """Killed, and behind the last thing that was written to the dead letters' log stands a half of what came next."""
    flowrt = _killed(world)
    log = flowrt.state / "dead-letters.sqlite-wal"
    data = log.read_bytes()
    frame = 24 + 4096
    torn = data[-frame:][: world.random.randrange(1, frame)]
    log.write_bytes(data + torn)
    world.over()
    flowrt.start()


def tear_code(world: World) -> None:
    """Killed, and each file of compiled code is cut off in the middle, or one byte of it is another."""
    flowrt = _killed(world)
    files = sorted(flowrt.cache.rglob("*.code"))
    if not files:
        world.note("there is no compiled code")
    for file in files:
        data = bytearray(file.read_bytes())
        if world.random.random() < 0.5:
            del data[world.random.randrange(len(data)) :]
        else:
            data[world.random.randrange(len(data))] ^= 0x40
        file.write_bytes(data)
    world.over()
    flowrt.start()


def damage_letters(world: World) -> None:
    """Killed, and a page in the middle of the dead letters' file is nothing but zeros: what is in it is lost, but new
    letters must be kept, and the graph must go on."""
    flowrt = _killed(world)
    path = flowrt.state / "dead-letters.sqlite"
    known = flowrt.letters()  # folds the log into the file
    data = bytearray(path.read_bytes())
    page = world.random.randrange(1, len(data) // 4096) * 4096
    data[page : page + 4096] = bytes(4096)
    path.write_bytes(data)
    world.ledger.excuse(known)
    world.over()
    flowrt.start()


def cut_power(world: World, kill: Callable[[World], None] = _kill) -> None:
    """Twice: the process ends at once, and of what it wrote to its state folder only what it had synced is left, with
    some sectors of the rest (`shims/disk.py`). `kill` ends it and says what may come again."""
    flowrt, journal = world.flowrt, world.folder / "journal"
    flowrt.state.mkdir()
    flowrt.process.add_env(**environment(flowrt.state, journal))
    before: dict[str, bytes] = {}
    world.start()
    for share in (0.2, 0.6):
        world.wait_share(share, share + 0.2)
        kill(world)
        if not power_cut(flowrt.state, journal, before, world.random, world.random.choice((0.0, 0.5))):
            world.note("nothing was synced, or nothing written down")
        before = contents(flowrt.state)
        world.over()
        flowrt.start()


SCENARIOS = (
    Scenario(
        "power-cut",
        "two power cuts: unsynced writes dropped",
        cut_power,
        oversized=20,
        peers=False,
        needs=needs_compiler,
    ),
    Scenario("disk-full", "disk full", fill_disk, oversized=20, peers=False, needs=needs_mount),
    Scenario("disk-read-only", "disk read-only", read_only, oversized=20, peers=False, needs=needs_mount),
    Scenario("torn-letters", "torn write in the dead-letter store", tear_letters, oversized=20, peers=False),
    Scenario("torn-code", "torn write in the compiled-code cache", tear_code, peers=False),
    Scenario("damaged-letters", "a page of the dead-letter store is lost", damage_letters, oversized=20, peers=False),
)
