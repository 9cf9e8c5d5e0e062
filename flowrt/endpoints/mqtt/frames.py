"""From columns of messages to the bytes of PUBLISH packets.

All that precedes a payload, but the packet identifier, depends on the envelope and the payload's length alone. So it
is made once for each length and looked up from then on: a batch to one topic costs no line of Python a message.
Format: MQTT 5 and 3.1.1, sections 2.1 and 3.3.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from struct import Struct

from flowrt.endpoints.mqtt.envelope import varint

LENGTHS_MAX = 1024
"""Payload lengths an envelope keeps its beginnings for."""
DUP = 0x08
_ID = Struct(">H")


class Envelope(dict[int, bytes]):
    """What precedes a payload of each length, up to the end of the topic; `properties` follow the identifier."""

    __slots__ = ("_first", "_fixed", "_topic", "properties")

    def __init__(self, topic: bytes, properties: bytes, *, qos: int, retain: bool) -> None:
        super().__init__()
        self._topic = topic
        self.properties = properties
        self._first = 0x30 | qos << 1 | int(retain)
        self._fixed = len(topic) + len(properties) + (2 if qos else 0)

    def __missing__(self, length: int) -> bytes:
        if len(self) >= LENGTHS_MAX:
            self.clear()
        beginning = self[length] = bytes((self._first,)) + varint(self._fixed + length) + self._topic
        return beginning

    def packet_bytes(self, length: int) -> int:
        """Size of the whole packet for a payload of `length` bytes."""
        return len(self[length]) - len(self._topic) + self._fixed + length


def encode_0(envelopes: Sequence[Envelope] | Envelope, payloads: Sequence[bytes]) -> list[bytes]:
    """Packets of QoS 0, in pieces: two for each message where one envelope serves all, else three."""
    lengths = map(len, payloads)
    if isinstance(envelopes, Envelope):
        beginnings: Iterable[bytes] = map(envelopes.__getitem__, lengths)
        if envelopes.properties:
            return list(chain.from_iterable(zip(beginnings, repeat(envelopes.properties), payloads, strict=False)))
        return list(chain.from_iterable(zip(beginnings, payloads, strict=True)))
    beginnings = [envelope[length] for envelope, length in zip(envelopes, lengths, strict=True)]
    properties = [envelope.properties for envelope in envelopes]
    return list(chain.from_iterable(zip(beginnings, properties, payloads, strict=True)))


def encode_acked(envelopes: Sequence[Envelope] | Envelope, payloads: Sequence[bytes], ids: range) -> list[bytes]:
    """Packets of QoS 1 or 2 with consecutive packet identifiers, in pieces, four for each message."""
    lengths = map(len, payloads)
    packed = map(_ID.pack, ids)
    if isinstance(envelopes, Envelope):
        beginnings: Iterable[bytes] = map(envelopes.__getitem__, lengths)
        properties: Iterable[bytes] = repeat(envelopes.properties, len(payloads))
    else:
        beginnings = [envelope[length] for envelope, length in zip(envelopes, lengths, strict=True)]
        properties = [envelope.properties for envelope in envelopes]
    return list(chain.from_iterable(zip(beginnings, packed, properties, payloads, strict=True)))


def again(packet: bytes) -> bytes:
    """The same PUBLISH, marked as sent before."""
    return bytes((packet[0] | DUP,)) + packet[1:]


def reply(kind: int, packet_id: int) -> bytes:
    """A PUBACK, PUBREC, PUBREL or PUBCOMP that says yes."""
    return bytes((kind | (2 if kind == 0x60 else 0), 2)) + _ID.pack(packet_id)
