"""Ends that are no MQTT broker: what of files and Kafka was handled is known by a position, not by acknowledgements."""

from __future__ import annotations

from time import sleep

from benchmarks.faults.others import SESSION_SECONDS, needs_kafka
from benchmarks.faults.rows.processes import AWAY_SECONDS, terminate
from benchmarks.faults.systems import Work
from benchmarks.faults.world import Scenario, World

START_SECONDS = 120.0
REPEATED = 3
"""In times what may be in flight: positions are noted every 0.2 s, at 400 messages a second, and not at the moment of
the kill."""


def kill(world: World) -> None:
    """SIGKILL under load, and a fresh start."""
    world.start()
    world.wait_share(0.3, 0.5)
    world.system.process.kill()
    world.interrupted(REPEATED)
    sleep(AWAY_SECONDS)
    world.over()
    world.flowrt.start(START_SECONDS)


SCENARIOS = (
    Scenario("file-kill", "kill -9 under load, from file to file", kill, Work(ends="file"), peers=False),
    Scenario("file-sigterm", "SIGTERM under load, from file to file", terminate, Work(ends="file"), peers=False),
    Scenario(
        "kafka-kill",
        "kill -9 under load, from Kafka to Kafka",
        kill,
        Work(ends="kafka"),
        slow=SESSION_SECONDS,
        peers=False,
        needs=needs_kafka,
    ),
    Scenario(
        "kafka-sigterm",
        "SIGTERM under load, from Kafka to Kafka",
        terminate,
        Work(ends="kafka"),
        slow=SESSION_SECONDS,
        peers=False,
        needs=needs_kafka,
    ),
)
