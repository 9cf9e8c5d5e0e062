"""The connection of an endpoint's sinks: messages out, confirmations in.

QoS 0 is out when the kernel has it. QoS 1 and 2 stay in a window until the broker has confirmed them; after a reconnect
what is in the window is sent again, in order, before anything new.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from itertools import accumulate
from time import monotonic

from flowrt.endpoints.base import EndpointCounters, Stopped
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.mqtt.connection import Connection
from flowrt.endpoints.mqtt.frames import Envelope, again, encode_0, encode_acked, reply
from flowrt.endpoints.mqtt.link import Limits, Link
from flowrt.endpoints.mqtt.refusals import Refusals, refusal
from flowrt.endpoints.mqtt.scan import PUBACK, PUBCOMP, PUBREC, PUBREL, Acks, Item, Reply
from flowrt.endpoints.mqtt.sink import Envelopes, GaveUp, MqttSink
from flowrt.endpoints.mqtt.suspicion import Suspicion
from flowrt.endpoints.mqtt.window import DONE, RECEIVED, SENT, Chunk, Window
from flowrt.errors import NodeFault
from flowrt.events import Emit, EndpointRefused
from flowrt.message import Batch
from flowrt.values import replace

BACKLOG_BYTES = 2**20
"""What may wait for a slow socket; then senders wait."""
CHUNK_BYTES = 2**20
"""Payload bytes sent at once, but always one message."""


class Outgoing(Connection):
    """Shared by the sinks of one endpoint."""

    _now = staticmethod(monotonic)
    """The clock by which messages come under suspicion."""

    def __init__(self, endpoint: str, options: MqttOptions, emit: Emit) -> None:
        super().__init__(endpoint, "out", options, f"{options.client_id}-out", emit)
        self.sinks: list[MqttSink] = []
        self._refusals = Refusals(endpoint)
        self._changed = threading.Condition()
        self._waiters = 0
        # All below is guarded by `_changed`.
        self._link: Link | None = None
        self._spoke_five = True
        self._window = Window()
        self._on_wire = 0
        """Messages of the window that were sent over the present link."""
        self._again: deque[tuple[Chunk, int]] = deque()
        """Rows of the window that are still to be sent over the present link."""
        self._suspicion = Suspicion()

    def connected(self) -> bool:
        return self._link is not None

    def sink_closed(self) -> None:
        """Whoever waits for this sink gives up; the last one turns off the light."""
        with self._changed:
            self._changed.notify_all()
        if all(sink.closed for sink in self.sinks):
            self.close()
            self._refusals.close()

    def await_link(self, sink: MqttSink) -> tuple[bool, Limits]:
        """Wait until a link is up; whether it is MQTT 5, and the broker's limits. Raises `Stopped`."""
        with self._changed:
            link = self._await_link(sink)
            return link.five, link.limits

    def send(self, sink: MqttSink, batch: Batch, envelopes: Envelopes, qos: int, *, five: bool) -> int:
        """Send rows, in chunks that fit. How many were sent: not all, if the version of MQTT has changed meanwhile.
        Raises `Stopped`."""
        at, count = 0, len(batch)
        send = self._send_acked if qos else self._send_unacked
        while at < count:
            stop = _chunk_end(batch.payloads, at)
            whole = at == 0 and stop == count
            part = batch if whole else batch.slice(at, stop)
            parts = envelopes if whole or isinstance(envelopes, Envelope) else envelopes[at:stop]
            try:
                sent = send(sink, part, parts, qos, five=five)
            except GaveUp:
                break
            if not sent:
                break
            at += sent
        return at

    def hand_over(self, sink: MqttSink, keep: Callable[[Batch], Batch]) -> None:
        """See `Spoolable`. What is under way is sent again after a reconnect as before; it only answers to another."""
        with self._changed:
            chunks = [(chunk, chunk.unconfirmed()) for chunk in self._window.chunks if chunk.sink is sink]
        for chunk, rows in chunks:
            before = chunk.batch
            kept = keep(before.take(rows))
            if kept.tracker is before.tracker:
                continue
            seqs = [0] * len(before)
            for row, seq in zip(rows, kept.seqs, strict=True):
                seqs[row] = seq
            with self._changed:
                late = {row for row in rows if chunk.states[row] == DONE}
                chunk.batch = replace(before, seqs=seqs, tracker=kept.tracker)
            if before.tracker is not None:
                before.tracker.settle([before.seqs[row] for row in rows if row not in late])
            if kept.tracker is not None:
                kept.tracker.settle([seqs[row] for row in rows if row in late])

    def flush(self, sink: MqttSink, timeout: float) -> bool:
        """Wait until nothing of a sink is under way."""
        with self._changed:
            self._waiters += 1
            try:
                return self._changed.wait_for(lambda: not sink.under_way, timeout)
            finally:
                self._waiters -= 1

    # What `Connection` asks for.

    def _counters(self) -> Sequence[EndpointCounters]:
        return [sink.counters for sink in self.sinks]

    def _clean(self, *, first: bool, five: bool) -> bool:
        # What an earlier process had in its window is not known any more, and its identifiers are used anew.
        return first or not five

    def _opened(self, link: Link) -> None:
        for sink in self.sinks:
            if sink.qos > link.limits.maximum_qos:
                words = f"the broker takes QoS {link.limits.maximum_qos} at most; a sink asks for QoS {sink.qos}"
                self._emit(EndpointRefused(self.endpoint, self._options.address, words))
        with self._changed:
            if link.five != self._spoke_five:
                self._renew_envelopes(five=link.five, limits=link.limits)
            self._spoke_five = link.five
            self._link = link
            self._on_wire = 0
            self._suspicion.opened(self._now())
            self._again.clear()
            for chunk in self._window.chunks:
                if not link.session_present:
                    # The broker has forgotten what it took over, too.
                    chunk.states = chunk.states.replace(bytes((RECEIVED,)), bytes((SENT,)))
                self._again.extend((chunk, row) for row in chunk.rows(SENT) + chunk.rows(RECEIVED))
            self._send_again(link)
            self._changed.notify_all()

    def _take(self, link: Link, items: Sequence[Item]) -> None:
        for item in items:
            if type(item) is Acks:
                self._confirmed(item.ids)
            elif type(item) is Reply:
                self._replied(link, item)

    def _tick(self, link: Link, now: float) -> None:
        if self._on_wire:
            link.expect(now)
        if self._waiters or self._again:
            with self._changed:
                self._send_again(link)
                self._changed.notify_all()

    def _lost(self) -> None:
        with self._changed:
            self._link = None
            now = self._now()
            guilty = self._suspicion.lost(self._on_wire, now)
            rows = [] if guilty is None else self._judged(guilty, now)
            self._changed.notify_all()
        for sink, batch, fault in rows:
            self._refusals.put(sink, batch, fault, self._refusal_handled)
        for sink in self.sinks:
            if sink.lost is not None:
                sink.lost()

    # Sending. Everything up to the next heading is called with `_changed` held, unless it takes it.

    def _wait(self, sink: MqttSink) -> None:
        left = None
        if sink.give_up_at is not None and (left := sink.give_up_at - monotonic()) <= 0:
            raise GaveUp
        self._waiters += 1
        self._changed.wait(left)
        self._waiters -= 1

    def _await_link(self, sink: MqttSink) -> Link:
        while True:
            if sink.closed:
                raise Stopped
            if self._link is not None:
                return self._link
            self._wait(sink)

    def _await_room(self, sink: MqttSink, wanted: int) -> tuple[Link, int]:
        """A link, and for how many rows there is room."""
        while True:
            link = self._await_link(sink)
            if not self._again and link.backlog() < BACKLOG_BYTES:
                room = self._window.ids_free(min(wanted, self._most(link) - self._on_wire))
                if room > 0:
                    return link, room
            self._wait(sink)

    def _most(self, link: Link) -> int:
        return min(self._options.max_inflight, link.limits.receive_maximum)

    def _send_acked(self, sink: MqttSink, batch: Batch, envelopes: Envelopes, qos: int, *, five: bool) -> int:
        """Send the first rows, as many as there is room for; how many."""
        with self._changed:
            link, room = self._await_room(sink, len(batch))
            if link.five != five:
                return 0
            if room < len(batch):
                batch = batch.slice(0, room)
                envelopes = envelopes if isinstance(envelopes, Envelope) else envelopes[:room]
            chunk = self._window.add(sink, batch, envelopes, qos)
            self._on_wire += room
            sink.under_way += room
            # Still under the lock, so that packets leave in the order of the window.
            link.write(encode_acked(envelopes, batch.payloads, chunk.ids()))
        return room

    def _send_unacked(self, sink: MqttSink, batch: Batch, envelopes: Envelopes, _: int, *, five: bool) -> int:
        """Send rows and wait until the kernel has them; how many it has, or 0 to be asked again."""
        pieces = encode_0(envelopes, batch.payloads)
        with self._changed:
            while True:
                link = self._await_link(sink)
                if link.five != five:
                    return 0
                end = link.write(pieces)
                while end and link.handed() < end and self._link is link:
                    if sink.closed:
                        raise Stopped
                    self._wait(sink)
                missing = end - link.handed() if end else None
                if missing is not None and missing < sum(map(len, pieces)):
                    break
                while self._link is link:
                    self._wait(sink)  # the link has ended; its thread is about to say so
        sent = len(batch) if missing <= 0 else _rows_before(envelopes, batch.payloads, missing)
        if batch.tracker is not None and sent:
            batch.tracker.settle(batch.seqs[:sent])
        return sent

    def _send_again(self, link: Link) -> None:
        """Repeat rows as far as there is room."""
        most, suspicion = self._most(link), self._suspicion
        while self._again and self._on_wire < most and link.backlog() < BACKLOG_BYTES:
            if suspicion.alone and not suspicion.may_send(self._on_wire, self._now()):
                break
            chunk, row = self._again.popleft()
            packet_id = chunk.first + row
            self._on_wire += 1
            if suspicion.alone:
                suspicion.sending(packet_id if chunk.states[row] == SENT else None, self._now())
            if chunk.states[row] == RECEIVED:
                link.write([reply(PUBREL, packet_id)])
                continue
            envelope = chunk.envelopes if isinstance(chunk.envelopes, Envelope) else chunk.envelopes[row]
            pieces = encode_acked(envelope, [chunk.batch.payloads[row]], range(packet_id, packet_id + 1))
            link.write([again(pieces[0]), *pieces[1:]])

    def _renew_envelopes(self, *, five: bool, limits: Limits) -> None:
        """The broker speaks another version than before: say the same in it."""
        for chunk in self._window.chunks:
            topics = [
                chunk.sink.template.fill(*row) for row in zip(chunk.batch.heads, chunk.batch.payloads, strict=True)
            ]
            chunk.envelopes = [
                chunk.sink.envelope(head, topic, five=five, limits=limits)
                for head, topic in zip(chunk.batch.heads, topics, strict=True)
            ]

    # Confirmations.

    def _confirmed(self, ids: Sequence[int]) -> None:
        with self._changed:
            runs = [(chunk.sink, chunk.batch, start, stop) for chunk, start, stop in self._window.confirm(ids)]
            for sink, _, start, stop in runs:
                sink.under_way -= stop - start
                self._on_wire -= stop - start
            topic = runs[0][0].topic_of(runs[0][1], runs[0][2]) if runs and self._suspicion.alone else None
            self._suspicion.confirmed(all_clear=not (self._again or self._on_wire), topic=topic)
            if self._waiters:
                self._changed.notify_all()
        for _, batch, start, stop in runs:
            if batch.tracker is not None:
                batch.tracker.settle(batch.seqs[start:stop])

    def _replied(self, link: Link, item: Reply) -> None:
        if item.kind in {PUBACK, PUBREC} and item.reason >= 0x80:
            self._refused(item)
        elif item.kind == PUBREC:
            with self._changed:
                chunk = self._window.find(item.id)
                if chunk is not None and chunk.states[item.id - chunk.first] == SENT:
                    chunk.states[item.id - chunk.first] = RECEIVED
            link.write([reply(PUBREL, item.id)])
        elif item.kind == PUBCOMP:
            self._confirmed([item.id])

    def _refused(self, item: Reply) -> None:
        with self._changed:
            runs = [(chunk.sink, chunk.batch.slice(*rows)) for chunk, *rows in self._window.confirm([item.id])]
            self._on_wire -= len(runs)
        for sink, rows in runs:
            self._refusals.put(sink, rows, refusal(item.reason), self._refusal_handled)

    def _judged(self, guilty: int, now: float) -> list[tuple[MqttSink, Batch, NodeFault]]:
        """The message over which the broker ends connections, and with a guilty topic all others of it that are under
        way: out of the window."""
        chunk = self._window.find(guilty)
        if chunk is None:
            return []
        topic = chunk.sink.topic_of(chunk.batch, guilty - chunk.first)
        ids = [guilty]
        if self._suspicion.found_guilty(topic, now):
            ids = [
                one.first + row
                for one in self._window.chunks
                for row in one.rows(SENT)
                if one.sink.topic_of(one.batch, row) == topic
            ]
        fault = NodeFault("send", f"the broker ends the connection when a message is sent to '{topic}'")
        return [
            (one.sink, one.batch.slice(row, row + 1), fault)
            for one, start, stop in self._window.confirm(ids)
            for row in range(start, stop)
        ]

    def shuns(self) -> int:
        """Rises with each topic that was found guilty."""
        return self._suspicion.shuns

    def check_topic(self, topic: str) -> None:
        """Raises `NodeFault` for a topic over which the broker ends connections."""
        if self._suspicion.shuns and self._suspicion.shuns_topic(topic, self._now()):
            raise NodeFault("send", f"the broker ends the connection when a message is sent to '{topic}'")

    def _refusal_handled(self, sink: MqttSink) -> None:
        with self._changed:
            sink.under_way -= 1
            self._changed.notify_all()


def _chunk_end(payloads: Sequence[bytes], at: int) -> int:
    """Where the rows end that are sent together."""
    if at == 0 and sum(map(len, payloads)) <= CHUNK_BYTES:
        return len(payloads)
    for row, size in enumerate(accumulate(len(payload) for payload in payloads[at:])):
        if size > CHUNK_BYTES:
            return at + max(row, 1)
    return len(payloads)


def _rows_before(envelopes: Envelopes, payloads: Sequence[bytes], missing: int) -> int:
    """How many rows are complete without the last `missing` bytes of their packets."""
    rows = len(payloads)
    while rows and missing > 0:
        rows -= 1
        envelope = envelopes if isinstance(envelopes, Envelope) else envelopes[rows]
        missing -= envelope.packet_bytes(len(payloads[rows]))
    return rows
