"""One `sink` operation of an MQTT endpoint. It shares a connection with the endpoint's other sinks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from flowrt.endpoints.base import EndpointCounters, refuse
from flowrt.endpoints.mqtt.envelope import write_3, write_5
from flowrt.endpoints.mqtt.frames import Envelope
from flowrt.endpoints.mqtt.link import Limits
from flowrt.endpoints.template import parse
from flowrt.errors import NodeFault
from flowrt.message import Batch, Head
from flowrt.operators.sink import SinkOperation

if TYPE_CHECKING:
    from flowrt.endpoints.mqtt.outgoing import Outgoing

ENVELOPES_MAX = 4096
"""Envelopes kept. Messages of more different heads at once are each encoded anew; memory stays bounded."""

Envelopes: TypeAlias = Sequence[Envelope] | Envelope
"""One for each row, or one for all."""


class GaveUp(Exception):
    """What a sink waits for did not come in time."""


class MqttSink:
    """See `flowrt.endpoints.base.Spoolable`. Rows the other side refuses go to `on_refused`; without it they are
    counted and forgotten."""

    def __init__(
        self, connection: Outgoing, operation: SinkOperation, on_refused: Callable[[Batch, NodeFault], None] | None
    ) -> None:
        self.counters = EndpointCounters()
        self.template = parse(operation.topic)
        self.qos = operation.qos
        self.closed = False
        self.under_way = 0
        """Messages sent at QoS 1 or 2 and not settled; guarded by the connection."""
        self.give_up_at: float | None = None
        """When whoever sends wants to wait no longer, on the monotonic clock."""
        self._retain = operation.retain
        self._content_type = operation.content_type
        self._connection = connection
        self._on_refused = on_refused
        self._known: dict[tuple[Head, str], Envelope] = {}
        self._known_for: tuple[bool, Limits] | None = None
        self._shuns = 0
        self.lost: Callable[[], None] | None = None
        """Called when the link has gone."""

    def start(self) -> None:
        self._connection.start()

    def broken(self) -> bool:
        return self._connection.broken()

    def ready(self) -> bool:
        return self._connection.connected()

    def send(self, batch: Batch) -> None:
        """Take responsibility for a batch. Rows without a valid topic, or too large for the broker, are refused."""
        self.give_up_at = None
        self._send(batch)

    def offer(self, batch: Batch, patience: float) -> Batch | None:
        self.give_up_at = monotonic() + patience
        return self._send(batch)

    def _send(self, batch: Batch) -> Batch | None:
        """The rows that were not sent before `give_up_at`."""
        while len(batch):
            try:
                five, limits = self._connection.await_link(self)
            except GaveUp:
                return batch
            batch, envelopes = self._prepare(batch, five=five, limits=limits)
            if not len(batch):
                return None
            qos = min(self.qos, limits.maximum_qos)
            sent = self._connection.send(self, batch, envelopes, qos, five=five)
            self.counters.messages_out += sent
            self.counters.bytes_out += sum(map(len, batch.payloads[:sent]))
            if sent == len(batch):
                return None
            batch = batch.slice(sent, len(batch))
            if self.give_up_at is not None and monotonic() >= self.give_up_at:
                return batch
        return None

    def when_lost(self, then: Callable[[], None]) -> None:
        self.lost = then

    def hand_over(self, keep: Callable[[Batch], Batch]) -> None:
        self._connection.hand_over(self, keep)

    def empty(self) -> bool:
        """It keeps nothing on disk."""
        return True

    def flush(self, timeout: float) -> bool:
        return self._connection.flush(self, timeout)

    def close(self) -> None:
        self.closed = True
        self._connection.sink_closed()

    def refuse(self, rows: Batch, fault: NodeFault) -> None:
        """Rows that will never be out."""
        refuse(rows, fault, self.counters, self._on_refused)

    def envelope(self, head: Head, topic: str, *, five: bool, limits: Limits) -> Envelope:
        """What surrounds the payload of a message. Raises `NodeFault` of kind `send`."""
        content_type = head.content_type or self._content_type
        topic_half, properties = write_5(topic, head, content_type) if five else write_3(topic)
        qos = min(self.qos, limits.maximum_qos)
        return Envelope(topic_half, properties, qos=qos, retain=self._retain and limits.retain)

    def topic_of(self, batch: Batch, row: int) -> str:
        """Where a message goes that was sent, and so can be filled in."""
        return self.template.fill(batch.heads[row], batch.payloads[row])

    def _prepare(self, batch: Batch, *, five: bool, limits: Limits) -> tuple[Batch, Envelopes]:
        """The rows that can be sent, with their envelopes; the others are refused."""
        if self._known_for != (five, limits) or self._shuns != self._connection.shuns():
            self._known.clear()
            self._known_for = (five, limits)
            self._shuns = self._connection.shuns()
        heads, payloads = batch.heads, batch.payloads
        envelopes: list[Envelope | NodeFault]
        if self.template.reads_payload:
            envelopes = [self._find(head, payload) for head, payload in zip(heads, payloads, strict=True)]
        else:
            # Heads are compared by identity: counting is cheaper than looking each one up.
            first = self._find(heads[0], b"")
            alone = heads.count(heads[0]) == len(heads)
            if alone and isinstance(first, Envelope) and _fits(first, max(map(len, payloads)), limits):
                return batch, first
            found = {head: self._find(head, b"") for head in set(heads)}
            envelopes = [found[head] for head in heads]
        return self._without_refused(batch, envelopes, limits)

    def _find(self, head: Head, payload: bytes) -> Envelope | NodeFault:
        five, limits = self._known_for or (True, Limits())
        try:
            topic = self.template.fill(head, payload) if self.template.reads_payload else ""
            known = self._known.get((head, topic))
            if known is None:
                topic = topic or self.template.fill(head)
                self._connection.check_topic(topic)
                known = self.envelope(head, topic, five=five, limits=limits)
                if len(self._known) >= ENVELOPES_MAX:
                    self._known.clear()
                self._known[head, topic if self.template.reads_payload else ""] = known
            return known
        except NodeFault as fault:
            return fault

    def _without_refused(
        self, batch: Batch, envelopes: Sequence[Envelope | NodeFault], limits: Limits
    ) -> tuple[Batch, Envelopes]:
        sound: list[Envelope] = []
        keep: list[bool] = []
        for row, envelope in enumerate(envelopes):
            if isinstance(envelope, Envelope):
                size = len(batch.payloads[row])
                if _fits(envelope, size, limits):
                    sound.append(envelope)
                    keep.append(True)
                    continue
                words = f"the broker takes packets of {limits.maximum_packet} bytes; the payload has {size}"
                envelope = NodeFault("size", words)
            keep.append(False)
            self.refuse(batch.slice(row, row + 1), envelope)
        return (batch if all(keep) else batch.select(keep)), sound


def _fits(envelope: Envelope, size: int, limits: Limits) -> bool:
    return envelope.packet_bytes(size) <= limits.maximum_packet
