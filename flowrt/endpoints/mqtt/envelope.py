"""What surrounds a payload in a PUBLISH packet, as bytes and as a `Head`.

An envelope is the topic with its length, and with MQTT 5 the properties with theirs: all of the variable header but the
packet identifier, which stands between the two. Format: MQTT 5 and 3.1.1, section 3.3.2.

The `mqtt5` codec does the work. It panics on text that is not UTF-8 (0.8.0), so it is shown ASCII only; the rest, which
is rare, goes to paho's slower reader of properties.
"""

from __future__ import annotations

import struct
from typing import Any

import mqtt5
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import MQTTException, Properties  # type: ignore[attr-defined]

from flowrt.endpoints.topics import topic_fault
from flowrt.errors import NodeFault
from flowrt.logicaltime.stamps import TIMESTAMP, parse_stamp
from flowrt.message import Head
from flowrt.values import Struct

ALIASES_MAX = 1024
"""Topic aliases remembered. We ask for none, so a broker that sends more breaks the protocol."""


class Malformed(Exception):
    """The other side sent what MQTT does not allow: the connection must end."""


Aliases = dict[int, str]
"""Topics by the numbers a broker gave them on this connection."""


def varint(value: int) -> bytes:
    """A variable byte integer (MQTT 5, 1.5.5)."""
    if value < 128:
        return bytes((value,))
    return bytes((value & 127 | 128,)) + varint(value >> 7)


def read_3(envelope: bytes, *, retain: bool) -> Head:
    """The head for an envelope of MQTT 3.1.1. Raises `Malformed`."""
    return Head(_topic(envelope[2:]), retain=retain)


def read_5(envelope: bytes, aliases: Aliases, *, retain: bool) -> tuple[Head, bool]:
    """The head for an envelope of MQTT 5, and whether the same bytes will always mean the same. Raises `Malformed`."""
    fields = _with_codec(envelope) if envelope.isascii() else _with_paho(envelope)
    topic = fields.topic
    if fields.alias is not None:
        topic = _resolve(topic, fields.alias, aliases)
    if fault := topic_fault(topic):
        raise Malformed(f"PUBLISH: {fault}")
    timestamp = next((value for key, value in fields.properties if key == TIMESTAMP), None)
    head = Head(
        topic,
        fields.content_type,
        fields.properties,
        fields.response_topic,
        fields.correlation,
        retain=retain,
        timestamp=parse_stamp(timestamp) if timestamp is not None else None,
    )
    return head, fields.alias is None and fields.correlation is None and timestamp is None


def write_3(topic: str) -> tuple[bytes, bytes]:
    """The two halves of an envelope of MQTT 3.1.1; the second is empty."""
    text = topic.encode()
    return len(text).to_bytes(2, "big") + text, b""


def write_5(topic: str, head: Head, content_type: str | None) -> tuple[bytes, bytes]:
    """The two halves of an envelope of MQTT 5: topic and properties. Raises `NodeFault` of kind `send`."""
    try:
        packet = mqtt5.PublishPacket(
            topic,
            b"",
            content_type=content_type,
            response_topic=head.response_topic,
            correlation_data=head.correlation,
            user_properties=list(head.properties),
        ).write()
    except (ValueError, TypeError, OverflowError) as error:
        raise NodeFault("send", f"MQTT cannot carry the properties of a message for '{topic[:200]}': {error}") from None
    body = 2
    while packet[body - 1] > 127:
        body += 1
    properties = body + 2 + int.from_bytes(packet[body : body + 2], "big")
    return packet[body:properties], packet[properties:]


class _Fields(Struct, frozen=True):
    topic: str
    content_type: str | None
    properties: tuple[tuple[str, str], ...]
    response_topic: str | None
    correlation: bytes | None
    alias: int | None


def _with_codec(envelope: bytes) -> _Fields:
    try:
        packet, _ = mqtt5.read(memoryview(b"\x30" + varint(len(envelope)) + envelope))
    except (ValueError, IndexError) as error:
        raise Malformed(f"PUBLISH: {error}") from None
    if not isinstance(packet, mqtt5.PublishPacket):
        raise Malformed("PUBLISH: unreadable")
    return _Fields(
        packet.topic,
        packet.content_type,
        tuple(packet.user_properties),
        packet.response_topic,
        packet.correlation_data,
        packet.topic_alias,
    )


def _with_paho(envelope: bytes) -> _Fields:
    end = 2 + int.from_bytes(envelope[:2], "big")
    properties: Any = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call] # makes attributes as it reads
    try:
        topic = envelope[2:end].decode()
        properties.unpack(envelope[end:])
    except (MQTTException, ValueError, IndexError, KeyError, struct.error) as error:
        raise Malformed(f"PUBLISH: {error}") from None
    return _Fields(
        topic,
        getattr(properties, "ContentType", None),
        tuple(getattr(properties, "UserProperty", ())),
        getattr(properties, "ResponseTopic", None),
        getattr(properties, "CorrelationData", None),
        getattr(properties, "TopicAlias", None),
    )


def _resolve(topic: str, alias: int, aliases: Aliases) -> str:
    if topic:
        if len(aliases) >= ALIASES_MAX and alias not in aliases:
            raise Malformed("more topic aliases than were asked for")
        aliases[alias] = topic
        return topic
    if alias not in aliases:
        raise Malformed(f"topic alias {alias} was never given a topic")
    return aliases[alias]


def _topic(text: bytes) -> str:
    try:
        topic = text.decode()
    except UnicodeDecodeError:
        raise Malformed("PUBLISH: a topic that is not UTF-8") from None
    if fault := topic_fault(topic):
        raise Malformed(f"PUBLISH: {fault}")
    return topic
