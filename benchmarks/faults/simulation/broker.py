"""A broker as MQTT 5 describes it, in memory: one session that is read from, one log of what was published to it."""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Sequence

import mqtt5

from flowrt.endpoints.mqtt.link import Limits
from flowrt.endpoints.mqtt.scan import PUBCOMP, PUBREC, PUBREL, Acks, Item, Reply, Run
from flowrt.message import Head


class Crash(BaseException):
    """The process is gone; nothing of it runs on, not even a handler of exceptions."""


class SimLink:
    """What `Link` is to the connections: what they write waits here until the broker takes it, and may be lost."""

    five = True
    end_reason = None

    def __init__(self, *, session_present: bool, receive_maximum: int, before_write: Callable[[], None]) -> None:
        self.session_present = session_present
        self.limits = Limits(receive_maximum=receive_maximum)
        self.to_broker = bytearray()
        self.to_client: deque[Item] = deque()
        self.up = True
        self.arrivals: deque[int] = deque()
        """Packet identifiers sent to the client over this link and not acknowledged, in order."""
        self._before_write = before_write

    def write(self, pieces: Sequence[bytes]) -> int:
        self._before_write()
        if self.up:
            self.to_broker += b"".join(pieces)
        return 0

    def backlog(self) -> int:
        return 0

    def subscribe(self, _: object) -> None:
        """The session has its filters."""

    def expect(self, _: float) -> None:
        """Links end by chance here."""

    def answers(self) -> list[object]:
        return []


class SimBroker:
    """`acknowledged(payload)` is called when the client gives a message back to the source's session for good."""

    def __init__(
        self, qos: int, receive_maximum: int, acknowledged: Callable[[bytes], None], wrong: Callable[[str], None]
    ) -> None:
        self.waiting: deque[tuple[Head, bytes]] = deque()
        self.under_way: OrderedDict[int, tuple[Head, bytes]] = OrderedDict()
        """Delivered and not acknowledged."""
        self.taken_over: set[int] = set()
        """QoS 2: PUBREC came, PUBCOMP has not."""
        self.log: list[tuple[str, bytes]] = []
        """Topic and payload of all that was published."""
        self.copies: Counter[tuple[str, bytes]] = Counter()
        self._qos, self._receive_maximum = qos, receive_maximum
        self._acknowledged, self._wrong = acknowledged, wrong
        self.ids = 60
        """How many identifiers it uses: few, so that they come round soon."""
        self._next_id = 0
        self._sink_ids: set[int] = set()

    # The source's session.

    def reopened(self, link: SimLink) -> None:
        """A client has come back to its session: what it did not acknowledge is sent again, in order."""
        for packet_id, (head, payload) in self.under_way.items():
            self._deliver(link, packet_id, head, payload, again=True)
        for packet_id in sorted(self.taken_over):
            link.to_client.append(Reply(PUBREL, packet_id))

    def deliver(self, link: SimLink, count: int) -> None:
        while count and self.waiting and len(self.under_way) + len(self.taken_over) < self._receive_maximum:
            head, payload = self.waiting.popleft()
            packet_id = self._free_id()
            self.under_way[packet_id] = head, payload
            self._deliver(link, packet_id, head, payload)
            count -= 1

    def _free_id(self) -> int:
        while True:
            self._next_id = self._next_id % self.ids + 1
            if self._next_id not in self.under_way and self._next_id not in self.taken_over:
                return self._next_id

    def _deliver(self, link: SimLink, packet_id: int, head: Head, payload: bytes, *, again: bool = False) -> None:
        last = link.to_client[-1] if link.to_client else None
        if not isinstance(last, Run) or last.again != again:
            last = Run(self._qos, again=again)
            link.to_client.append(last)
        last.heads.append(head)
        last.payloads.append(payload)
        last.ids.append(packet_id.to_bytes(2, "big"))
        link.arrivals.append(packet_id)

    def take_from_source(self, link: SimLink, packets: int) -> None:
        """Handle what the source's client wrote, at most so many packets."""
        for packet in _packets(link.to_broker, packets):
            match packet:
                case mqtt5.PubAckPacket() | mqtt5.PubRecPacket():
                    self._given_back(link, packet.packet_id, exactly_once=type(packet) is mqtt5.PubRecPacket)
                case mqtt5.PubCompPacket():
                    self.taken_over.discard(packet.packet_id)
                case _:
                    self._wrong(f"the source wrote {packet}")

    def _given_back(self, link: SimLink, packet_id: int, *, exactly_once: bool) -> None:
        if packet_id in self.taken_over:
            link.to_client.append(Reply(PUBREL, packet_id))
            return
        if not link.arrivals or packet_id != link.arrivals.popleft():
            self._wrong(f"acknowledgement of {packet_id} out of the order of arrival")
        found = self.under_way.pop(packet_id, None)
        if found is None:
            self._wrong(f"acknowledgement of {packet_id}, which is not under way")
            return
        self._acknowledged(found[1])
        if exactly_once:
            self.taken_over.add(packet_id)
            link.to_client.append(Reply(PUBREL, packet_id))

    # What sinks publish.

    def forget_sink(self) -> None:
        self._sink_ids.clear()

    def take_from_sink(self, link: SimLink, packets: int) -> None:
        for packet in _packets(link.to_broker, packets):
            match packet:
                case mqtt5.PublishPacket():
                    self._published(link, packet)
                case mqtt5.PubRelPacket():
                    self._sink_ids.discard(packet.packet_id)
                    link.to_client.append(Reply(PUBCOMP, packet.packet_id))
                case _:
                    self._wrong(f"the sink wrote {packet}")

    def _published(self, link: SimLink, packet: mqtt5.PublishPacket) -> None:
        packet_id = packet.packet_id
        assert packet_id is not None
        if packet.qos == mqtt5.QoS.AT_LEAST_ONCE:
            link.to_client.append(Acks([packet_id]))
        else:
            link.to_client.append(Reply(PUBREC, packet_id))
            if packet_id in self._sink_ids:
                return
            self._sink_ids.add(packet_id)
        self.log.append((packet.topic, packet.payload or b""))
        self.copies[self.log[-1]] += 1


def _packets(data: bytearray, most: int) -> list[object]:
    """Whole packets from the front of what was written."""
    found: list[object] = []
    while data and len(found) < most:
        try:
            packet, size = mqtt5.read(memoryview(bytes(data[:4096])))
        except IndexError:
            break
        del data[:size]
        found.append(packet)
    return found
