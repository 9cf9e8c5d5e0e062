"""What the machine does to flowrt: its clock is set, its descriptors run out."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from time import sleep

from benchmarks.faults.systems import Work
from benchmarks.faults.world import Scenario, World

_LIBRARIES = ("libfaketimeMT.so.1", "faketime/libfaketimeMT.so.1")
HOUR = "3600"


def _libfaketime() -> Path | None:
    for folder in Path("/usr/lib").glob("*-linux-gnu"):
        for name in _LIBRARIES:
            if (folder / name).exists():
                return folder / name
    return None


def needs_faketime() -> str | None:
    return None if _libfaketime() else "libfaketime is not installed: apt install faketime"


def set_clock(world: World) -> None:
    """The wall clock goes forward an hour under load, then back two, as libfaketime shows it to the process; the
    monotonic clock goes on, as the kernel's does."""
    world.flowrt.process.add_env(
        LD_PRELOAD=str(_libfaketime()),
        FAKETIME_TIMESTAMP_FILE=str(world.folder / "clock"),
        FAKETIME_NO_CACHE="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
    )
    clock = world.folder / "clock"
    clock.write_text("+0\n")
    world.start()
    world.wait_share(0.3)
    clock.write_text(f"+{HOUR}\n")
    world.wait_share(0.6)
    clock.write_text(f"-{HOUR}\n")
    world.over()
    world.settle()
    moments = world.flowrt.letter_times()
    if not moments or max(moments) - min(moments) < 2 * 3600 - 300:
        world.note("the clock did not move")


def run_out_of_descriptors(world: World) -> None:
    """The process may open nothing more, and its links are cut: it cannot connect again until it may."""
    world.start()
    world.wait_share(0.2, 0.3)
    pid = world.system.process.pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    world.source_link.cut()
    world.sink_link.cut()
    world.interrupted(2)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (3, before[1]))
    world.source_link.restore()
    world.sink_link.restore()
    sleep(world.scale.outage)
    if not _open_files(pid):
        world.note("it did not live through it")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    world.over()


def _open_files(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - the names alone
    except OSError:
        return 0


SCENARIOS = (
    Scenario(
        "clock", "clock set forward an hour, then back two", set_clock, oversized=10, peers=False, needs=needs_faketime
    ),
    Scenario("descriptors", "out of file descriptors for 5 s, links cut", run_out_of_descriptors, Work()),
)
