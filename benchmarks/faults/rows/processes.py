"""Processes that end: flowrt, a node's own process, the broker; and what an administrator does to them."""

from __future__ import annotations

import os
import signal
from time import monotonic, sleep

from benchmarks.faults.systems import Work
from benchmarks.faults.world import Scenario, World
from benchmarks.processes import BenchError

AWAY_SECONDS = 0.2
"""Between the end of a process and its next start, so that what it still sent is not taken for a recovery."""


def kill(world: World) -> None:
    """SIGKILL under load, and a fresh start."""
    world.start()
    world.wait_share(0.3, 0.5)
    world.system.process.kill()
    world.interrupted()
    sleep(AWAY_SECONDS)
    world.over()
    world.system.start()


def kill_worker(world: World) -> None:
    """SIGKILL of one of two worker processes, twice; then of the process that reads."""
    world.start()
    for share in (0.2, 0.4):
        world.wait_share(share)
        os.kill(world.flowrt.children()[0], signal.SIGKILL)
        world.interrupted()
    world.wait_share(0.6)
    world.flowrt.process.kill()
    world.interrupted(2)
    sleep(AWAY_SECONDS)
    world.over()
    world.flowrt.start()


def kill_broker(world: World) -> None:
    """SIGKILL of the broker while the system is at work on what was published."""
    world.start()
    world.wait_share(0.5, 0.7)
    world.publisher.hold()
    world.broker.kill_between_saves()
    world.interrupted(2)
    sleep(AWAY_SECONDS)
    world.broker.start()
    world.over()
    world.publisher.go_on()


def kill_node(world: World) -> None:
    """SIGKILL of the process that an isolated node has to itself."""
    world.start()
    world.wait_share(0.3, 0.5)
    children = world.flowrt.children()
    if not children:
        raise BenchError("the isolated node has no process")
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    world.over()


def terminate(world: World) -> None:
    """SIGTERM under load, and a fresh start: a stop drains, so nothing comes twice."""
    world.start()
    world.wait_share(0.3, 0.5)
    world.system.process.stop()
    sleep(AWAY_SECONDS)
    world.over()
    world.system.start()


def reload(world: World) -> None:
    """SIGHUP under load: the files are read again and the new graph takes the place of the old."""
    world.start()
    for share in (0.2, 0.4, 0.6):
        world.wait_share(share)
        world.system.reload()
        until = monotonic() + 30
        while world.system.process.output().count("reloaded") < round(share * 5):
            if monotonic() > until:
                raise BenchError("no word of a reload in the log")
            sleep(0.02)
    world.over()


SCENARIOS = (
    Scenario("kill", "kill -9 under load", kill),
    Scenario("kill-overload", "kill -9 under overload", kill, Work(busy=True), load=2.0),
    Scenario(
        "kill-node",
        "kill -9 of an isolated node's process",
        kill_node,
        Work(resources="isolation: process"),
        peers=False,
    ),
    Scenario(
        "kill-workers",
        "kill -9 of workers, then of the process that reads",
        kill_worker,
        Work(arguments=("--workers", "2")),
        peers=False,
    ),
    Scenario("kill-broker", "kill -9 of the broker", kill_broker, load=0.5),
    Scenario("sigterm", "SIGTERM under load, started again", terminate),
    Scenario("sighup", "three reloads by SIGHUP under load", reload, peers=False),
)
