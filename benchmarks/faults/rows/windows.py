"""Windows that are open when the process ends, or when its disk tells half of what was written."""

from __future__ import annotations

from functools import partial
from time import sleep

from benchmarks.faults.guests import WINDOW_MS
from benchmarks.faults.rows.storage import await_log, cut_power, mount, needs_mount, own_disk
from benchmarks.faults.shims.build import needs_compiler
from benchmarks.faults.systems import WINDOWS, Work
from benchmarks.faults.world import Scenario, World

OPEN = Work(behind=WINDOWS)


def _kill(world: World) -> None:
    """SIGKILL while a window is open. One that is being confirmed then comes again, as it was."""
    world.flowrt.process.kill()
    world.interrupted(1 + int(world.scale.rate * WINDOW_MS / 1000 / 100))


def kill(world: World) -> None:
    """SIGKILL three times."""
    world.start()
    for share in (0.2, 0.4, 0.6):
        world.wait_share(share)
        _kill(world)
        world.over()
        world.flowrt.start()


def terminate(world: World) -> None:
    """SIGTERM: what is open is kept, and goes on at the next start."""
    world.start()
    for share in (0.3, 0.6):
        world.wait_share(share)
        world.system.process.stop()
        world.over()
        world.system.start()


def tear(world: World) -> None:
    """Killed, and behind the last checkpoint in the log stands a half of what came next."""
    world.start()
    world.wait_share(0.4, 0.5)
    _kill(world)
    log = world.flowrt.state / "checkpoints.sqlite-wal"
    data = log.read_bytes()
    frame = 24 + 4096
    log.write_bytes(data + data[-frame:][: world.random.randrange(1, frame)])
    world.over()
    world.flowrt.start()


def fill_disk(world: World) -> None:
    """The state folder has no room for checkpoints; after a while there is room again."""
    own_disk(world, "size=96k")
    world.start()
    await_log(world, "cannot be written")
    sleep(world.scale.outage)
    mount(world.flowrt.state, "size=64m")
    world.over()


SCENARIOS = (
    Scenario("window-kill", "three kill -9 while windows are open", kill, OPEN, peers=False),
    Scenario("window-sigterm", "two SIGTERM while windows are open, started again", terminate, OPEN, peers=False),
    Scenario("window-torn", "torn write in the checkpoints", tear, OPEN, peers=False),
    Scenario(
        "window-power-cut",
        "two power cuts while windows are open",
        partial(cut_power, kill=_kill),
        OPEN,
        peers=False,
        needs=needs_compiler,
    ),
    Scenario("window-disk-full", "disk full while windows are open", fill_disk, OPEN, peers=False, needs=needs_mount),
)
