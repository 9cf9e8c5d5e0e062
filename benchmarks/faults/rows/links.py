"""Links that break: cut, silent, slow."""

from __future__ import annotations

from time import sleep

from benchmarks.faults.systems import Work
from benchmarks.faults.world import Scenario, World


def cut_source(world: World) -> None:
    world.start()
    world.wait_share(0.2, 0.4)
    world.source_link.cut()
    world.interrupted()
    sleep(world.scale.outage)
    world.source_link.restore()
    world.over()


def cut_sink(world: World, factor: float = 1.0) -> None:
    world.start()
    world.wait_share(0.2, 0.4)
    world.sink_link.cut()
    world.interrupted()
    sleep(world.scale.outage * factor)
    world.sink_link.restore()
    world.over()


def cut_sink_long(world: World) -> None:
    """Longer than everything flowrt holds in memory: the broker, or the spool, has to keep the rest."""
    cut_sink(world, 4.0)


def half_open(world: World) -> None:
    """Both links go silent with their connections open; then they work again, for new connections."""
    world.start()
    world.wait_share(0.2, 0.4)
    world.source_link.silence()
    world.sink_link.silence()
    world.interrupted(2)
    sleep(world.scale.outage)
    world.source_link.restore()
    world.sink_link.restore()
    world.over()


def slow_sink(world: World) -> None:
    """The sink's link passes a tenth of the load on for a while."""
    world.start()
    world.wait_share(0.1, 0.2)
    message_bytes = 60
    world.sink_link.throttle(world.scale.rate * message_bytes / 10)
    sleep(world.scale.outage)
    world.sink_link.throttle(None)
    world.over()


def cut_exactly_once(world: World) -> None:
    """Both links are cut in turn, for a moment and for longer than the spool waits: at QoS 2 nothing may come twice."""
    world.start()
    for share, factor in ((0.15, 0.1), (0.3, 0.1), (0.45, 1.5), (0.6, 0.1)):
        world.wait_share(share)
        for link in (world.source_link, world.sink_link):
            link.cut()
            sleep(world.scale.outage * factor)
            link.restore()
    world.over()


SCENARIOS = (
    Scenario("cut-source", "source link cut", cut_source),
    Scenario("cut-sink", "sink link cut", cut_sink),
    Scenario("cut-sink-long", "sink link cut four times as long", cut_sink_long),
    Scenario("exactly-once", "both links cut in turn, at QoS 2", cut_exactly_once, Work(qos=2), peers=False),
    Scenario("half-open", "both links silent, connections open", half_open),
    Scenario("slow-sink", "sink link passes a tenth of the load", slow_sink),
)
