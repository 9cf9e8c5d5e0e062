"""The connection of an endpoint's sources: subscriptions, messages in, acknowledgements back.

A message of QoS 1 is acknowledged (PUBACK), one of QoS 2 taken over (PUBREC), when the tracker releases it: when all
that derives from it is out. Should the program die before, the broker still has the message. Each link has a tracker
of its own; what an earlier link's tracker releases is of no use any more, since the broker sends those messages again.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from time import monotonic

from flowrt.delivery.tracker import Note, Tracker
from flowrt.endpoints.base import EndpointCounters, Stopped
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.mqtt.connection import Connection
from flowrt.endpoints.mqtt.exactly_once import ExactlyOnce
from flowrt.endpoints.mqtt.frames import reply
from flowrt.endpoints.mqtt.link import Link, Subscribed
from flowrt.endpoints.mqtt.remembered import read_filters, write_filters
from flowrt.endpoints.mqtt.routes import Routes
from flowrt.endpoints.mqtt.scan import PUBACK, PUBCOMP, PUBREL, Item, Reply, Run
from flowrt.endpoints.mqtt.source import MqttSource
from flowrt.endpoints.topics import filter_fault, overlap
from flowrt.events import Emit, EndpointRefused, StoreFailed
from flowrt.message import Batch

RESUBSCRIBE_SECONDS = 60.0
"""A refused subscription is asked for again this often: someone may have changed the broker's rules."""
_SEND_RETAINED, _SEND_RETAINED_IF_NEW, _SEND_NO_RETAINED = 0, 1, 2
_ACK = bytes((PUBACK, 2))


class Session:
    """What is owed to the broker over one link for messages of QoS 1. `release` may be called from any thread."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.tracker = Tracker(self._release)
        self._owed: deque[bytes] = deque()

    def open(self, run: Run) -> range:
        """Number the messages of a run; their acknowledgements leave when the tracker releases them."""
        self._owed.extend([_ACK + packet_id for packet_id in run.ids])
        return self.tracker.open(len(run.ids))

    def _release(self, count: int) -> None:
        take = self._owed.popleft
        self.link.write([take() for _ in range(count)])


class Incoming(Connection):
    """Shared by sources of one endpoint whose filters do not overlap."""

    def __init__(
        self, endpoint: str, options: MqttOptions, client_id: str, emit: Emit, remembered: Path | None = None
    ) -> None:
        """`remembered`: file with the filters of earlier runs, so that those given up since can be unsubscribed."""
        super().__init__(endpoint, "in", options, client_id, emit)
        self._remembered = remembered
        self.noting = False
        """Whether someone asks which messages come again."""
        self.sources: list[MqttSource] = []
        self._routes = Routes(self.sources)
        self._exactly_once = ExactlyOnce()
        self._session: Session | None = None
        self._granted: set[str] = set()
        self._refused: set[str] = set()
        self._asked: dict[str, tuple[int, bool]] = {}
        self._subscribed_at = 0.0
        self._changed = False
        """Whether filters are others than those that the broker was told of."""
        self._keeper = threading.Thread(target=self._keep_alive, name=f"flowrt/{endpoint}/alive", daemon=True)

    def start(self) -> None:
        """Connect once the last of the sources is started: what comes must find its taker."""
        if not all(source.started for source in self.sources):
            return
        super().start()
        if self._keeper.ident is None:
            self._keeper.start()
            return
        up = max(source.counters.connected for source in self.sources)
        for source in self.sources:  # one more, over the connection that is there
            source.counters.connected = up
        self.filters_changed()

    def overlaps(self, filters: Sequence[str]) -> bool:
        """Whether some topic is for one of these filters and for a source that is here already."""
        return any(overlap(one, other) for source in self.sources for one in source.filters for other in filters)

    def granted(self, filters: Sequence[str]) -> bool:
        """Whether the broker has confirmed all of these."""
        return self._session is not None and self._granted.issuperset(filters)

    def source_closed(self) -> None:
        """The last one turns off the light."""
        if all(source.closed for source in self.sources):
            self.close()

    def source_left(self) -> None:
        """The last one closes the connection, once all that came is acknowledged: without a link there is nothing."""
        self.filters_changed()
        if self._session is None and all(source.closed for source in self.sources):
            self._closing.set()

    def filters_changed(self) -> None:
        """Some source wants other topics, has come or has left. From any thread."""
        self._changed = True
        self._wake()

    # What `Connection` asks for.

    def _counters(self) -> Sequence[EndpointCounters]:
        return [source.counters for source in self.sources]

    def _clean(self, *, first: bool, five: bool) -> bool:
        # MQTT 3.1.1 has no expiry: a session that is to end with the connection is a clean one.
        return (first and self._options.clean_start) or (not five and not self._options.session_expiry)

    def _opened(self, link: Link) -> None:
        if not link.session_present:
            self._exactly_once = ExactlyOnce()
        reconnected = bool(self._granted) and link.session_present
        self._granted.clear()
        self._refused.clear()
        self._session = Session(link)
        self._changed = False
        self._asked = self._filters()
        self._routes.forget()
        self._subscribe(link, self._filters(), reconnected=reconnected)
        if self._remembered is not None:
            self._give_up_old(link, self._remembered)

    def _take(self, link: Link, items: Sequence[Item]) -> None:
        for item in items:
            if type(item) is Run:
                self._messages(link, item)
            elif type(item) is Reply:
                if item.kind == PUBREL:
                    self._exactly_once.complete(item.id.to_bytes(2, "big"))
                    link.write([reply(PUBCOMP, item.id)])
                else:
                    self._answer_announcement(link, item)

    def _tick(self, link: Link, now: float) -> None:
        for answer in link.answers():
            self._answered(answer)
        if self._changed:
            self._change(link)
        if self._left():
            self._closing.set()
        if self._refused and now - self._subscribed_at > RESUBSCRIBE_SECONDS:
            filters = self._filters()
            self._subscribe(link, {name: filters[name] for name in self._refused if name in filters}, reconnected=False)

    def _lost(self) -> None:
        self._session = None

    def _left(self) -> bool:
        """Whether the last of the sources has left, the broker is told, and all that came has been acknowledged."""
        session = self._session
        open_count = self._exactly_once.tracker.open_count + (session.tracker.open_count if session is not None else 0)
        return not self._changed and not open_count and all(source.closed for source in self.sources)

    # Subscriptions.

    def _filters(self) -> dict[str, tuple[int, bool]]:
        """Highest QoS asked for each filter, and whether some source wants what the broker retained."""
        filters: dict[str, tuple[int, bool]] = {}
        for source in self.sources:
            for name in source.filters if source.started else ():
                qos, retained = filters.get(name, (0, False))
                filters[name] = (max(qos, source.qos), retained or source.wants_retained)
        return filters

    def _subscribe(self, link: Link, filters: dict[str, tuple[int, bool]], *, reconnected: bool) -> None:
        self._subscribed_at = monotonic()
        sound = {name: asked for name, asked in filters.items() if filter_fault(name) is None}
        for name in filters.keys() - sound.keys():
            self._answered(Subscribed(name, 0x8F, str(filter_fault(name))))
        if reconnected and not link.five:
            # A 3.1.1 broker would send what it retained once more; it has kept the subscriptions with the session.
            self._granted.update(sound)
        elif sound:
            again = _SEND_RETAINED_IF_NEW if reconnected else _SEND_RETAINED
            asked = {name: (qos, again if wanted else _SEND_NO_RETAINED) for name, (qos, wanted) in sound.items()}
            link.subscribe(asked)

    def _change(self, link: Link) -> None:
        """Tell the broker what differs, and nothing else."""
        self._changed = False
        self.sources[:] = [source for source in self.sources if not source.closed]
        before, filters = self._asked, self._filters()
        gone = before.keys() - filters.keys()
        other = {name: asked for name, asked in filters.items() if before.get(name, asked) != asked}
        new = {name: filters[name] for name in filters.keys() - before.keys()}
        self._asked = filters
        self._routes.forget()
        self._granted -= gone | other.keys()
        self._refused -= gone
        if new:
            self._subscribe(link, new, reconnected=False)
        if other:
            link.subscribe({name: (qos, _again(before[name][1], wanted)) for name, (qos, wanted) in other.items()})
        if gone:
            link.unsubscribe(sorted(gone))
        if self._remembered is not None:
            self._remember(self._remembered)

    def _remember(self, remembered: Path) -> None:
        try:
            write_filters(remembered, set(self._filters()))
        except OSError as error:
            self._emit(StoreFailed(str(remembered), error.strerror or str(error), self._options.reconnect.max))

    def _give_up_old(self, link: Link, remembered: Path) -> None:
        """A persistent session keeps what earlier versions of the graph subscribed to, until it is told otherwise."""
        filters = set(self._filters())
        old = read_filters(remembered)
        if link.session_present and old - filters:
            link.unsubscribe(sorted(old - filters))
        if old != filters:
            self._remember(remembered)

    def _answered(self, answer: Subscribed) -> None:
        asked = self._filters().get(answer.filter, (0, False))[0]
        address = self._options.address
        if answer.granted >= 0x80:
            self._refused.add(answer.filter)
            words = f"the broker refuses the subscription '{answer.filter}': {answer.reason}"
            self._emit(EndpointRefused(self.endpoint, address, words))
            return
        self._refused.discard(answer.filter)
        self._granted.add(answer.filter)
        if answer.granted < asked:
            words = f"the broker grants QoS {answer.granted} for '{answer.filter}' where QoS {asked} is asked for"
            self._emit(EndpointRefused(self.endpoint, address, words))

    # Messages.

    def _messages(self, link: Link, run: Run) -> None:
        session = self._session
        if session is None or all(source.stopped for source in self.sources):
            return  # never acknowledged: the broker keeps them for the next start
        tracker: Tracker | None = None
        seqs = range(len(run.payloads))
        if run.qos == 1:
            tracker, seqs = session.tracker, session.open(run)
        elif run.qos == 2:
            tracker = self._exactly_once.tracker
            run, seqs = self._exactly_once.arrive(link, run)
            if not run.ids:
                return
        if self.noting and tracker is not None:
            origin, again = self.endpoint, run.again
            tracker.note(
                seqs,
                [
                    Note(origin, packet_id, again, head.topic, payload)
                    for packet_id, head, payload in zip(run.ids, run.heads, run.payloads, strict=True)
                ],
            )
        batch = Batch(run.heads, run.payloads, (), (), seqs, tracker)
        source = self._routes.of_all(run.heads)
        if source is not None:
            _deliver(source, batch)
        else:
            self._divide(batch)

    def _divide(self, batch: Batch) -> None:
        """Give each row to the source that subscribed to it. One that nobody wants is done with."""
        takers = [self._routes.of(head) for head in batch.heads]
        if batch.tracker is not None:
            batch.tracker.settle([seq for seq, taker in zip(batch.seqs, takers, strict=True) if taker is None])
        for source in self.sources:
            mine = [taker is source for taker in takers]
            if any(mine):
                heads, payloads = list(compress(batch.heads, mine)), list(compress(batch.payloads, mine))
                _deliver(source, Batch(heads, payloads, (), (), list(compress(batch.seqs, mine)), batch.tracker))

    def _keep_alive(self) -> None:
        """Ping while the reading thread waits in a full graph: a broker gives up a client that is silent."""
        while not self._closing.wait(min(self._options.keep_alive / 8, 10.0)):
            session = self._session
            if session is not None:
                session.link.keep_alive(monotonic())


def _again(wanted: bool, wants: bool) -> int:  # noqa: FBT001 - before and now
    """What a broker is to do with what it has retained, for a subscription that there is already."""
    if not wants:
        return _SEND_NO_RETAINED
    return _SEND_RETAINED_IF_NEW if wanted else _SEND_RETAINED


def _deliver(source: MqttSource, batch: Batch) -> None:
    try:
        source.deliver(batch)
    except Stopped:
        source.stop()
