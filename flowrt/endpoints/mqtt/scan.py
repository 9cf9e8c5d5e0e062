"""From the bytes of a connection to columns of messages.

Most packets of a busy connection are PUBLISH packets that differ in their payload alone. So the envelope of each is
looked up as it stands, and names a `Head`; only one that is not known yet is decoded. Acknowledgements are gathered;
packets that carry neither are handed on unread, for paho.

Format: MQTT 5 and MQTT 3.1.1, sections 2.1 (fixed header), 3.3 (PUBLISH) and 3.4 to 3.7 (acknowledgements).
"""

from __future__ import annotations

from typing import TypeAlias

from flowrt.endpoints.mqtt.envelope import Aliases, Malformed, read_3, read_5
from flowrt.message import Head
from flowrt.values import Struct, field

PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, PINGRESP = 0x30, 0x40, 0x50, 0x60, 0x70, 0xD0
HEADS_MAX = 8192
"""Heads kept for look-up. With more topics than that at once each message is decoded; memory stays bounded."""


class Run(Struct):
    """Consecutive messages of one quality of service."""

    qos: int
    heads: list[Head] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    """Packet identifiers, two bytes each; empty at QoS 0."""
    again: bool = False
    """The sender says that it has sent them before (DUP)."""


class Acks(Struct):
    """Identifiers of consecutive PUBACK packets that say yes."""

    ids: list[int] = field(default_factory=list)


class Reply(Struct, frozen=True):
    """One PUBREC, PUBREL or PUBCOMP, or a PUBACK that says no."""

    kind: int
    id: int
    reason: int = 0


class Other(Struct, frozen=True):
    """A packet that is the session's business."""

    packet: bytes


Item: TypeAlias = Run | Acks | Reply | Other


class KnownHeads:
    """Heads by envelope. It outlives a connection, so that a topic has one head for all the connections to a broker."""

    def __init__(self) -> None:
        self._tables: dict[bool, tuple[dict[bytes, Head], dict[bytes, Head]]] = {}

    def of(self, *, five: bool) -> tuple[dict[bytes, Head], dict[bytes, Head]]:
        """Those of one version of MQTT; the second table is for retained messages."""
        return self._tables.setdefault(five, ({}, {}))


class Scanner:
    """Takes the bytes of one connection in pieces of any size."""

    def __init__(self, *, five: bool, maximum_packet: int, heads: KnownHeads | None = None) -> None:
        self._five = five
        self._maximum = maximum_packet
        self._known = (heads or KnownHeads()).of(five=five)
        self._aliases: Aliases = {}
        self._partial = bytearray()
        self.missing = 0
        """Bytes known to be missing of the packet that has begun."""

    def feed(self, data: bytes) -> list[Item]:
        """What is complete now, in order. Raises `Malformed`."""
        if self._partial:
            self._partial += data
            self.missing -= len(data)
            if self.missing > 0:
                return []
            data = bytes(self._partial)
            self._partial.clear()
        items: list[Item] = []
        rest = self._scan(data, items)
        self._partial += memoryview(data)[rest:]
        return items

    def _scan(self, data: bytes, items: list[Item]) -> int:
        """Append what `data` holds to `items`; where the first incomplete packet begins."""
        at, end = 0, len(data)
        self.missing = 1
        while end - at >= 2:
            size, body = data[at + 1], at + 2
            if size > 127:
                size, body = self._size(data, at + 1)
            stop = body + size
            if stop - at > self._maximum:
                raise Malformed(f"a packet of {stop - at} bytes, more than the {self._maximum} asked for")
            if stop > end:
                self.missing = stop - end
                break
            kind = data[at] & 0xF0
            if kind == PUBLISH:
                at = self._publishes(data, at, body, stop, items)
                continue
            if kind == PUBACK and size == 2:
                if not (items and isinstance(acks := items[-1], Acks)):
                    acks = Acks()
                    items.append(acks)
                acks.ids.append(data[body] << 8 | data[body + 1])
            elif kind in {PUBACK, PUBREC, PUBREL, PUBCOMP}:
                self._reply(kind, data[body:stop], items)
            elif kind != PINGRESP:
                items.append(Other(data[at:stop]))
            at = stop
        return at

    def _publishes(self, data: bytes, at: int, body: int, stop: int, items: list[Item]) -> int:
        """Read the PUBLISH at `at` and those behind it that begin with the same byte; where they end."""
        first, end, five = data[at], len(data), self._five
        qos = first >> 1 & 3
        skip = 2 if qos else 0
        run = _run(items, qos, again=first & 8 != 0)
        known = self._known[first & 1]
        add_head, add_payload, add_id = run.heads.append, run.payloads.append, run.ids.append
        while True:
            after = body + 2 + (data[body] << 8 | data[body + 1]) if stop - body >= 2 else end
            start = after + skip
            if five and start < stop:
                start += 1 + data[start]
            envelope = data[body:after] + data[after + 2 : start] if qos else data[body:start]
            head = known.get(envelope) if start <= stop else None
            if head is None:
                head, start = self._decode(data, body, after + skip, stop, first)
            add_head(head)
            add_payload(data[start:stop])
            if qos:
                add_id(data[after : after + 2])
            at = stop
            if end - at < 2 or data[at] != first:
                break
            size, body = data[at + 1], at + 2
            if size > 127:
                size, body = self._size(data, at + 1)
            stop = body + size
            if stop > end or stop - at > self._maximum:
                break
        if b"\0\0" in run.ids:
            raise Malformed("PUBLISH: packet identifier 0")
        return at

    def _decode(self, data: bytes, body: int, after: int, stop: int, first: int) -> tuple[Head, int]:
        """The head of a PUBLISH whose envelope is new, and where its payload starts. `after`: behind the identifier."""
        skip = 2 if first & 6 else 0
        if after + self._five > stop:
            raise Malformed("PUBLISH: shorter than its topic")
        retain = bool(first & 1)
        if not self._five:
            envelope = data[body : after - skip]
            head, lasting, start = read_3(envelope, retain=retain), True, after
        else:
            size, start = self._size(data, after)
            start += size
            if start > stop:
                raise Malformed("PUBLISH: shorter than its properties")
            envelope = data[body : after - skip] + data[after:start]
            head, lasting = read_5(envelope, self._aliases, retain=retain)
            lasting = lasting and size < 128  # a look-up reads the size from one byte
        if lasting:
            known = self._known[first & 1]
            if len(known) >= HEADS_MAX:
                known.clear()
            known[envelope] = head
        return head, start

    def _size(self, data: bytes, at: int) -> tuple[int, int]:
        """A variable byte integer and where it ends; for an incomplete one, what asks for a byte more than there is."""
        value = 0
        for place in range(4):
            if at + place >= len(data):
                return 1, len(data)
            byte = data[at + place]
            value |= (byte & 127) << 7 * place
            if byte < 128:
                return value, at + place + 1
        raise Malformed("a length of more than four bytes")

    def _reply(self, kind: int, body: bytes, items: list[Item]) -> None:
        if len(body) < 2:
            raise Malformed("an acknowledgement without a packet identifier")
        packet_id = body[0] << 8 | body[1]
        reason = body[2] if len(body) > 2 else 0
        if kind == PUBACK and reason < 0x80:
            items.append(Acks([packet_id]))
        else:
            items.append(Reply(kind, packet_id, reason))


def _run(items: list[Item], qos: int, *, again: bool) -> Run:
    """The run that goes on, or a new one."""
    if items and isinstance(run := items[-1], Run) and run.qos == qos and run.again == again:
        return run
    if qos == 3:
        raise Malformed("PUBLISH: a quality of service of 3")
    run = Run(qos, again=again)
    items.append(run)
    return run
