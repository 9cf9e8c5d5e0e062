"""Brokers that say no: that refuse, throttle, hang up on a message, or are shared with a client of the same name."""

from __future__ import annotations

from time import sleep

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from benchmarks.faults.broker import HOST
from benchmarks.faults.systems import NodeRed
from benchmarks.faults.world import Scenario, World

THEFTS = 3
INTERRUPTIONS = 20
"""Connections that end until the guilty are found, at most."""
BAD_TOPIC = b"\x00\x05out/3"
"""As it stands in a PUBLISH."""
BAD_MESSAGE = b'"t": 3, "n": 12, '
"""In the one payload that the broker takes offence at."""


def refuse(world: World) -> None:
    """Both links end, and each CONNECT is answered with reason 0x88 (server unavailable) for a while."""
    world.start()
    world.wait_share(0.2, 0.4)
    world.source_link.refuse()
    world.sink_link.refuse()
    world.interrupted(2)
    sleep(world.scale.outage)
    world.source_link.restore()
    world.sink_link.restore()
    world.over()


def throttle(world: World) -> None:
    """A broker whose receive maximum is 1, in both directions."""
    world.start()
    world.wait_share(0.4)
    world.over()


def take_offence(world: World, bad: bytes = BAD_MESSAGE) -> None:
    """A broker that ends the connection over one message, whenever it is sent. It belongs among the dead letters, and
    must not be in the way of the others."""
    world.sink_link.object_to(lambda data: bad in data)
    world.start()
    world.wait_share(0.9)
    world.interrupted(INTERRUPTIONS)
    world.over()


def malformed_topic(world: World) -> None:
    """The same over every message to one topic of eight, as brokers do that find it malformed or forbidden."""
    take_offence(world, BAD_TOPIC)


def clash(world: World) -> None:
    """Another client with the source's client id takes the session over, three times, and acknowledges nothing."""
    world.start()
    client_id = "faults-source" if isinstance(world.system, NodeRed) else "faults"
    for number in range(THEFTS):
        world.wait_share(0.2 + 0.2 * number)
        properties = Properties(PacketTypes.CONNECT)
        properties.SessionExpiryInterval = 3600
        thief = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv5, manual_ack=True)
        thief.connect(HOST, world.broker.port, clean_start=False, properties=properties)
        thief.loop_start()
        sleep(0.3)
        thief.loop_stop()
        thief.disconnect()
        world.interrupted()
    world.over()


SCENARIOS = (
    Scenario("refuse", "broker refuses every CONNECT", refuse),
    Scenario(
        "throttle", "broker takes and gives one at a time", throttle, broker=("max_inflight_messages 1",), load=0.2
    ),
    Scenario("bad-message", "broker ends the connection over one message, always", take_offence),
    Scenario("bad-topic", "broker ends the connection over one topic, always", malformed_topic),
    Scenario("clash", "a second client with the same id, three times", clash),
)
