"""What a sink's spool goes through: the process is killed while it holds messages, or its disk fails."""

from __future__ import annotations

from pathlib import Path
from time import sleep

from benchmarks.faults.rows.storage import await_log, mount, needs_mount, own_disk
from benchmarks.faults.shims.build import needs_compiler
from benchmarks.faults.shims.disk import contents, environment, power_cut
from benchmarks.faults.world import Scenario, World

SPOOLS = "its messages wait on disk"
"""In the log, when a sink begins to."""
FULL_KIB = 24
"""Some hundred messages."""
REPEATED = 10
"""In times what may be in flight: how far the spool is gets noted once a second, at up to 1000 messages a second."""


def _spooling(world: World) -> None:
    """The sink's link is cut, and messages are being spooled."""
    world.start()
    world.wait_share(0.1, 0.2)
    world.sink_link.cut()
    world.interrupted()
    await_log(world, SPOOLS)
    sleep(world.scale.outage / 2)


def kill(world: World) -> None:
    """SIGKILL while the spool holds messages; the link comes back after the next start."""
    _spooling(world)
    world.flowrt.process.kill()
    world.interrupted()
    world.flowrt.begin()
    sleep(world.scale.outage / 2)
    world.sink_link.restore()
    world.over()


def kill_draining(world: World) -> None:
    """SIGKILL while the spool is being sent."""
    _spooling(world)
    world.sink_link.throttle(world.scale.rate * 100)
    world.sink_link.restore()
    sleep(0.5)
    world.flowrt.process.kill()
    world.interrupted()
    world.sink_link.throttle(None)
    world.over()
    world.flowrt.start()


def tear(world: World) -> None:
    """Killed, and behind the last message that was spooled stands a half of what came next."""
    _spooling(world)
    world.flowrt.process.kill()
    world.interrupted()
    files = _files(world)
    if files:
        data = files[-1].read_bytes()
        files[-1].write_bytes(data + data[-world.random.randrange(2, 40) :][:-1])
    else:
        world.note("there is no spool")
    world.sink_link.restore()
    world.over()
    world.flowrt.start()


def fill_disk(world: World) -> None:
    """The state folder has no room for the spool; when it has, and the link is back, everything goes out."""
    own_disk(world, f"size={FULL_KIB}k")
    _spooling(world)
    await_log(world, "No space left")
    sleep(world.scale.outage / 2)
    mount(world.flowrt.state, "size=64m")
    sleep(world.scale.outage / 2)
    world.sink_link.restore()
    world.over()


def cut_power(world: World) -> None:
    """A power cut while the spool holds messages, and another while it is being sent."""
    flowrt, journal = world.flowrt, world.folder / "journal"
    flowrt.state.mkdir()
    flowrt.process.add_env(**environment(flowrt.state, journal))
    before: dict[str, bytes] = {}
    syncs = 0
    _spooling(world)
    for _ in range(2):
        flowrt.process.kill()
        world.interrupted(REPEATED)
        syncs += power_cut(flowrt.state, journal, before, world.random, world.random.choice((0.0, 0.5)))
        before = contents(flowrt.state)
        world.sink_link.restore()
        world.over()
        flowrt.start()
        sleep(0.3)
    if not syncs:
        world.note("nothing was synced, or nothing written down")


def _files(world: World) -> list[Path]:
    return sorted(world.flowrt.state.rglob("*.spool"))


SCENARIOS = (
    Scenario("spool-kill", "kill -9 while messages are spooled", kill, peers=False),
    Scenario("spool-kill-draining", "kill -9 while the spool is sent", kill_draining, peers=False),
    Scenario("spool-torn", "torn write in the spool", tear, peers=False),
    Scenario("spool-disk-full", "sink link cut and disk full", fill_disk, peers=False, needs=needs_mount),
    Scenario(
        "spool-power-cut", "two power cuts while messages are spooled", cut_power, peers=False, needs=needs_compiler
    ),
)
