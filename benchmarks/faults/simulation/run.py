"""One seed: a schedule of work and faults, and what must hold after every step and at the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from random import Random

from benchmarks.faults.simulation.broker import Crash, SimBroker, SimLink
from benchmarks.faults.simulation.disk import Disk
from benchmarks.faults.simulation.graph import OPTIONS, Letters, Runtime, draw_shape, expected
from benchmarks.faults.simulation.threads import Fiber, Fibers, virtual
from flowrt.message import Head

TOPICS = 2
CHAOS_STEPS = 250
LONG_STEPS = 300
"""Of threads, in an outage that lasts: more than they need to come to rest."""
LAG = 40
"""Messages of a spool that may be out and counted as waiting: what was under way, and what came back before it."""
QUIET_STEPS = 20_000
"""After the last fault everything must be out within so many steps: far more than it takes."""


class Wrong(Exception):
    """An invariant does not hold."""


class Simulation:
    """`run` raises `Wrong`. The same seed does the same again."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._random = Random(seed)
        self._draw()
        self._faulty = True
        self._crash_share = self._random.choice((0.0, 0.004, 0.015))
        self._cut_share = self._random.choice((0.0, 0.02, 0.05))
        self._letters = Letters(self._random, self._may_crash)
        self._broker = SimBroker(self._shape.source_qos, OPTIONS.receive_maximum, self._acknowledged, self._wrong)
        self._heads = [Head(f"in/{number}") for number in range(TOPICS)]
        self._places = [0] * TOPICS
        self._source_link: SimLink | None = None
        self._sink_link: SimLink | None = None
        self._confirmed: Counter[tuple[str, bytes]] = Counter()
        self._allowed = 0
        """Duplicates that the messages in flight at each fault explain."""
        self.crashes = self.cuts = 0
        self._spooled: set[tuple[str, bytes]] = set()
        """Sink and payload of what its source was told to be done with before it was out."""
        self._fibers = Fibers(self._random)
        self._disk = Disk(self._random, self._may_crash, self._fibers.give_way)
        self._reader: Fiber | None = None
        """The thread of the sinks' connection, where it is at something."""

    def run(self) -> None:
        try:
            with virtual(self._fibers), self._disk.under():
                self._live()
        finally:
            self._fibers.end()
            self._disk.close()

    def _live(self) -> None:
        self._begin()
        actions = self._actions()
        for _ in range(CHAOS_STEPS):
            self._step(self._random.choices(*actions)[0])
        self._calm()
        calm = [
            action
            for action, _ in zip(*actions, strict=True)
            if action not in (self._publish, self._cut, self._last_long)
        ]
        for _ in range(QUIET_STEPS // 50):
            for _ in range(50):
                self._step(self._random.choice(calm))
            if self._idle():
                break
        else:
            self._wrong("it never came to rest")
        self._check_end()

    def _draw(self) -> None:
        self._shape = draw_shape(self._random)

    def _calm(self) -> None:
        """From here on nothing breaks."""
        self._faulty = False
        self._letters.full = self._disk.full = 0.0

    def _actions(self) -> tuple[list[Callable[[], None]], list[float]]:
        taking, confirming = self._random.choice((0.3, 2.0)), self._random.choice((0.3, 2.0))
        weighted: list[tuple[Callable[[], None], float]] = [
            (self._publish, 0.6),
            (self._deliver, 1.0),
            (self._read_source, 1.0),
            (self._work, 3.0),
            (self._broker_takes, taking),
            (self._read_sink, confirming),
            (self._tick, 0.3),
            (self._connect, 0.6),
            (self._cut, self._cut_share * 10),
        ]
        if self._shape.flaky or self._shape.spool is not None:
            weighted.append((self._go_on, 6.0 if self._shape.spool is not None else 0.6))
        if self._shape.spool is not None:
            weighted.append((self._last_long, 0.1))
        return [action for action, _ in weighted], [weight for _, weight in weighted]

    def _step(self, action: Callable[[], None]) -> None:
        try:
            action()
            self._may_crash()
            if any(spool.broken() for spool in self._runtime.spools.values()):
                self._wrong("a thread of a spool has ended")
        except Crash:
            self._crashed()
        except Wrong:
            raise
        except Exception as error:
            text = f"seed {self.seed}: {type(error).__name__}: {error}"
            raise Wrong(text) from error

    # What happens.

    def _publish(self) -> None:
        topic = self._random.randrange(TOPICS)
        payload = f"{topic} {self._places[topic]}".encode()
        self._places[topic] += 1
        self._broker.waiting.append((self._heads[topic], payload))

    def _deliver(self) -> None:
        if self._source_link is not None:
            self._broker.deliver(self._source_link, self._random.randint(1, 6))

    def _read_source(self) -> None:
        link = self._source_link
        if link is None or not link.to_client or self._runtime.inboxes["a"].messages:
            return
        items = [link.to_client.popleft() for _ in range(self._random.randint(1, len(link.to_client)))]
        self._runtime.incoming._take(link, items)  # type: ignore[arg-type]

    def _work(self) -> None:
        name = self._random.choice(list(self._runtime.nodes))
        self._runtime.step(name, self._random.randint(1, 8), self._shape.targets.get(name, ()))

    def _broker_takes(self) -> None:
        if self._source_link is not None:
            self._broker.take_from_source(self._source_link, self._random.randint(0, 8))
        if self._sink_link is not None:
            self._broker.take_from_sink(self._sink_link, self._random.randint(0, 8))

    def _read_sink(self) -> None:
        link = self._sink_link
        if link is None or not link.to_client or self._reading():
            return
        count = self._random.randint(1, len(link.to_client))
        items = [link.to_client.popleft() for _ in range(count)]
        if self._random.random() < 0.3:
            self._random.shuffle(items)  # confirmations of different messages may come as they like
        self._read(lambda: self._runtime.outgoing._take(link, items))  # type: ignore[arg-type]

    def _reading(self) -> bool:
        return self._reader is not None and self._reader.is_alive()

    def _read(self, what: Callable[[], None]) -> None:
        """On the thread of the sinks' connection."""
        if self._shape.spool is None:
            what()
        else:
            self._reader = self._fibers.spawn(what)

    def _tick(self) -> None:
        self._fibers.now += self._random.choice((0.01, 0.1, 1.0))
        if self._sink_link is not None and not self._reading():
            self._runtime.outgoing._tick(self._sink_link, 0.0)  # type: ignore[arg-type]

    def _go_on(self) -> None:
        for _ in range(self._random.randint(1, 5)):
            self._fibers.step()

    def _connect(self) -> None:
        if self._source_link is None:
            link = self._source_link = self._link(present=True)
            self._runtime.incoming._opened(link)  # type: ignore[arg-type]
            self._broker.reopened(link)
        elif self._sink_link is None and not self._reading():
            first = self._runtime.outgoing._first
            kept = not first and self._random.random() < 0.7
            if not kept:
                self._broker.forget_sink()
            self._runtime.outgoing._first = False
            link = self._sink_link = self._link(present=kept)
            if not kept and self._shape.sink_qos == 2:
                self._allowed += self._runtime.outgoing.under_way()
            self._read(lambda: self._runtime.outgoing._opened(link))  # type: ignore[arg-type]

    def _link(self, *, present: bool) -> SimLink:
        maximum = self._random.choice((1, 4, 65535))
        return SimLink(session_present=present, receive_maximum=maximum, before_write=self._may_crash)

    # What breaks.

    def _cut(self) -> None:
        """A link ends; of what was on the wire, a part arrives first."""
        self.cuts += 1
        if self._random.random() < 0.5 and self._source_link is not None:
            self._cut_source(part=True)
            self._runtime.incoming._lost()
        elif self._sink_link is not None and not self._reading():
            self._cut_sink(part=True)
            self._read(self._runtime.outgoing._lost)

    def _cut_source(self, *, part: bool) -> None:
        link = self._source_link
        if link is None:
            return
        link.up = False
        if part:
            self._broker.take_from_source(link, self._arrived())
        self._source_link = None
        if self._shape.source_qos == 1:
            self._allowed += len(self._broker.under_way) * self._fan_out()

    def _cut_sink(self, *, part: bool) -> None:
        link = self._sink_link
        if link is None:
            return
        link.up = False
        if part:
            self._broker.take_from_sink(link, self._arrived())
        self._sink_link = None
        if self._shape.sink_qos == 1:
            self._allowed += self._runtime.outgoing.under_way()

    def _arrived(self) -> int:
        """How many packets on the wire of a link that ends still arrive."""
        return self._random.choice((0, 0, 1, 2, 8))

    def _last_long(self) -> None:
        """An outage goes on until every thread has come to rest: then no source may wait for its end."""
        if self._sink_link is not None or self._shape.spool is None or "messages" in self._shape.spool:
            return
        full, self._disk.full = self._disk.full, 0.0
        for _ in range(LONG_STEPS):
            if not self._fibers.step():
                self._fibers.now += 5.0
        self._disk.full = full
        self._check_disk()
        logs = {id(spool.inner): spool.log for spool in self._runtime.spools.values()}
        for chunk in self._runtime.outgoing._window.chunks:
            if id(chunk.sink) not in logs:
                continue  # a sink without a spool
            log = logs[id(chunk.sink)]
            if log is None or chunk.batch.tracker is not log.tracker:
                self._wrong(f"{chunk.unconfirmed()} of {chunk.batch.payloads} hold their source up while it is away")

    def _may_crash(self) -> None:
        if self._faulty and self._random.random() < self._crash_share:
            raise Crash

    def _crashed(self) -> None:
        """Whatever the process held is gone; what it wrote may still arrive."""
        self.crashes += 1
        self._allowed += len(self._broker.under_way) * self._fan_out()
        self._cut_source(part=True)
        self._cut_sink(part=True)
        self._check_disk()
        self._allowed += sum(self._sent_from_disk(sink) for sink in self._runtime.spools)
        self._fibers.end()
        self._runtime.close_files()
        self._begin()

    def _begin(self) -> None:
        faulty, self._faulty = self._faulty, False
        self._runtime = self._life()
        self._faulty = faulty

    def _life(self) -> Runtime:
        return Runtime(self._shape, self._letters, self._fibers, self._disk)

    def _sent_from_disk(self, sink: str) -> int:
        """Messages that are out, and on disk still: the next life sends them again."""
        again = sum(self._out(sink, payload) for payload in self._disk.kept(sink))
        if again > LAG:
            self._wrong(f"{again} messages of {sink} are out, and on disk still")
        return again

    def _fan_out(self) -> int:
        """The most that one message becomes."""
        return 16

    # What must hold.

    def _wrong(self, words: str) -> None:
        raise Wrong(f"seed {self.seed}: {words}")

    def _acknowledged(self, payload: bytes) -> None:
        """Nothing is given back to the source before all that derives from it is out or durable."""
        out, kept = expected(self._shape, payload)
        missing = [one for one in out if not self._out(*one)]
        if self._shape.spool is not None:
            self._spooled.update(missing)
            missing = [one for one in missing if one[1] not in self._disk.kept(one[0])]
        missing += kept - self._letters.kept
        if missing:
            self._wrong(f"'{payload.decode()}' is acknowledged, and {sorted(missing)} is not out")

    def _check_disk(self) -> None:
        """What a spool has taken over stays there until it is out."""
        self._spooled -= {one for one in self._spooled if self._out(*one)}
        for sink in self._runtime.spools:
            wanted = {payload for name, payload in self._spooled if name == sink}
            if gone := wanted - self._disk.kept(sink):
                self._wrong(f"{sorted(gone)} of {sink} is neither out nor on disk")

    def _out(self, sink: str, payload: bytes) -> bool:
        return bool(self._broker.copies[f"{sink}/{payload.split()[0].decode()}", payload])

    def _idle(self) -> bool:
        broker, runtime = self._broker, self._runtime
        if broker.waiting or broker.under_way or broker.taken_over or runtime.outgoing.under_way():
            return False
        return runtime.at_rest() and not any(inbox.messages for inbox in runtime.inboxes.values())

    def _check_end(self) -> None:
        published = [f"{topic} {place}".encode() for topic in range(TOPICS) for place in range(self._places[topic])]
        wanted: set[tuple[str, bytes]] = set()
        letters: set[tuple[str, bytes]] = set()
        for payload in published:
            out, kept = expected(self._shape, payload)
            topic = payload.split()[0].decode()
            wanted |= {(f"{sink}/{topic}", result) for sink, result in out}
            letters |= kept
        found = set(self._broker.copies)
        if wanted - found or letters - self._letters.kept:
            self._wrong(f"lost: {sorted(wanted - found) + sorted(letters - self._letters.kept)}")
        if found - wanted or self._letters.kept - letters:
            self._wrong(f"from nowhere: {sorted(found - wanted) + sorted(self._letters.kept - letters)}")
        doubled = sum(self._broker.copies.values()) - len(found)
        if doubled > self._allowed:
            self._wrong(f"{doubled} duplicates, {self._allowed} allowed")
        self._check_order()

    def _check_order(self) -> None:
        """By the first copy of each, within a topic and a way through the graph."""
        newest: dict[tuple[str, str], int] = {}
        seen: set[tuple[str, bytes]] = set()
        for topic, payload in self._broker.log:
            if (topic, payload) in seen:
                continue
            seen.add((topic, payload))
            message, _, way = payload.decode().partition("|")
            place = int(message.split()[1])
            if place < newest.get((topic, way), -1):
                self._wrong(f"'{payload.decode()}' came out after {newest[topic, way]} on {topic}")
            newest[topic, way] = place
