"""What the machine does to flowrt: its clock is set, its descriptors run out."""

from __future__ import annotations

import os
import resource
import struct
from time import sleep

from benchmarks.faults.shims.build import built, needs_compiler
from benchmarks.faults.world import Scenario, World

HOUR = 3600


def set_clock(world: World) -> None:
    """The wall clock goes forward an hour under load, then back two; the monotonic clock goes on, as it should."""
    clock = world.folder / "clock"
    clock.write_bytes(struct.pack("=q", 0))
    world.flowrt.process.add_env(LD_PRELOAD=str(built("clock")), FAULTS_CLOCK=str(clock))
    world.start()
    for share, seconds in ((0.3, HOUR), (0.6, -HOUR)):
        world.wait_share(share)
        with clock.open("r+b") as file:
            file.write(struct.pack("=q", seconds))
    world.over()
    world.settle()
    moments = world.flowrt.letter_times()
    if not moments or max(moments) - min(moments) < 2 * HOUR - 600:
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
        "clock", "clock set forward an hour, then back two", set_clock, oversized=10, peers=False, needs=needs_compiler
    ),
    Scenario("descriptors", "out of file descriptors, links cut", run_out_of_descriptors),
)
