"""Everything one row needs, set up and taken down: broker, links, system, publisher, collector, ledger."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep

from benchmarks.faults.broker import FaultBroker
from benchmarks.faults.ledger import Ledger, Result
from benchmarks.faults.proxy import Proxy
from benchmarks.faults.systems import PLAIN, RECEIVE_MAXIMUM, Flowrt, NodeRed, System, Work, over_mqtt
from benchmarks.faults.traffic import Collector, MqttWay, Publisher, Way, Witness
from benchmarks.processes import BenchError

QUIET_SECONDS = 20.0
"""So long without a message, and what is missing counts as lost: longer than any pause of a reconnect here."""
LATE_SECONDS = 0.5
"""After the last message, for repetitions still on their way."""


@dataclass(frozen=True)
class Scale:
    """How large the load of a row is."""

    messages: int = 3000
    rate: float = 500.0
    outage: float = 5.0
    """Seconds for which a link stays cut."""
    quiet: float = QUIET_SECONDS


SHORT = Scale(messages=400, rate=400.0, outage=1.0)
"""For CI."""


@dataclass(frozen=True)
class Scenario:
    """One fault: what it does to a world, and what the system is at."""

    name: str
    title: str
    run: Callable[[World], None]
    work: Work = PLAIN
    broker: tuple[str, ...] = ()
    """Further lines of the broker's configuration."""
    load: float = 1.0
    """The rate, as a multiple of the scale's."""
    oversized: int = 0
    """Of a hundred messages, how many belong among the dead letters."""
    slow: float = 0.0
    """Seconds more than usual without a message until what is missing counts as lost."""
    peers: bool = True
    """Whether Node-RED can be put through the same."""
    needs: Callable[[], str | None] = field(default=lambda: None)
    """Why it cannot be run here, if it cannot."""


class World:
    """A context manager; the row works on its attributes."""

    def __init__(self, scenario: Scenario, seed: int, scale: Scale, *, node_red: bool = False) -> None:
        self.scenario, self.seed, self.scale = scenario, seed, scale
        self.random = random.Random(seed)
        self.ledger = Ledger()
        self.interruptions = 0
        self.notes: list[str] = []
        self.folder = Path(tempfile.mkdtemp(prefix="flowrt-faults-"))
        self._node_red = node_red
        self._fault_over: float | None = None
        self._closers: list[Callable[[], object]] = [lambda: shutil.rmtree(self.folder, ignore_errors=True)]

    def __enter__(self) -> World:
        try:
            self._set_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        while self._closers:
            self._closers.pop()()

    def _set_up(self) -> None:
        scenario, scale = self.scenario, self.scale
        self.system: System
        way = self._ends_of_mqtt() if scenario.work.ends == "mqtt" else self._other_ends(scenario.work.ends)
        self.publisher = self._kept(
            Publisher(
                way,
                self.ledger,
                self.seed,
                count=scale.messages,
                rate=scale.rate * scenario.load,
                oversized=scenario.oversized,
            )
        )

    def _ends_of_mqtt(self) -> Way:
        work = self.scenario.work
        self.broker = self._kept(FaultBroker(*self.scenario.broker))
        self.broker.start()
        self.source_link = self._kept(Proxy(self.broker.port, Witness(self.ledger).hears))
        self.sink_link = self._kept(Proxy(self.broker.port))
        self.collector = self._kept(Collector(self.broker.port, self.ledger, work.qos))
        ports = self.source_link.port, self.sink_link.port
        if self._node_red:
            self.system = self._kept(NodeRed(self.folder, *ports, work, self.broker))
        else:
            self.system = self._kept(Flowrt(self.folder, over_mqtt(*ports), work))
        return MqttWay(self.broker.port, work.qos)

    def _other_ends(self, kind: str) -> Way:
        from benchmarks.faults import others

        ends = others.ENDS[kind](self.folder, self.ledger)  # the publisher closes it
        self.system = self._kept(Flowrt(self.folder, ends.where, self.scenario.work))
        return ends  # type: ignore[no-any-return]

    def _kept(self, part):  # type: ignore[no-untyped-def]
        self._closers.append(part.close)
        return part

    @property
    def flowrt(self) -> Flowrt:
        """For rows that only flowrt can be put through."""
        assert isinstance(self.system, Flowrt)
        return self.system

    def defer(self, closer: Callable[[], object]) -> None:
        """Called when the world ends, before what it rests on."""
        self._closers.append(closer)

    # What rows are made of.

    def start(self) -> None:
        """The system is up, and the load begins."""
        self.system.start()
        self.publisher.start()

    def wait_share(self, low: float, high: float | None = None) -> None:
        """Until a seeded share of the load, between the two, has been published."""
        self.publisher.wait(self.random.uniform(low, high or low + 0.1))

    def interrupted(self, times: int = 1) -> None:
        """What was in flight may come twice from here on."""
        self.interruptions += times

    def over(self) -> None:
        """The fault is over: the time to recover begins."""
        self._fault_over = monotonic()

    def note(self, text: str) -> None:
        """Something this row asserts beside the counts is wrong."""
        self.notes.append(text)

    def accounted(self) -> bool:
        return not self.ledger.missing(self.system.letters())

    def settle(self) -> None:
        """Publish the rest and wait until everything is accounted for, or nothing has come for a long while."""
        self.publisher.finish()
        before, since = -1, monotonic()
        while not self.accounted():
            count = self.ledger.seen_count
            if count != before:
                before, since = count, monotonic()
            elif monotonic() - since > self.scale.quiet + self.scenario.slow:
                break
            sleep(0.05)
        sleep(LATE_SECONDS)

    def _bound(self) -> int:
        """What the broker delivered again, and what may have been on its way to the sink whenever something broke."""
        broken = self.interruptions + self.unplanned()
        return self.ledger.redelivered + broken * RECEIVE_MAXIMUM if broken else 0

    def unplanned(self) -> int:
        """How many connections ended that the row did not break: on a busy machine a broker is silent for longer than
        the short keep-alive of the bench allows."""
        return self.system.process.output().count("the broker is silent")

    def result(self) -> Result:
        letters = self.system.letters()
        lost = self.ledger.missing(letters)
        foreign = self.ledger.foreign
        notes = [*self.notes, *([f"{foreign} messages that nobody sent"] if foreign else [])]
        return Result(
            self.scenario.name,
            self.scenario.title,
            self.system.name,
            self.seed,
            self.ledger.sent_count,
            self.ledger.seen_count,
            len(letters),
            len(lost),
            self.ledger.duplicated,
            self.ledger.reordered,
            self._bound(),
            None if self._fault_over is None else self.ledger.first_after(self._fault_over),
            tuple(notes),
        )


def play(scenario: Scenario, seed: int, scale: Scale, *, node_red: bool = False) -> Result:
    """One row, once. What goes wrong with the bench itself is told in its notes, so that the other rows go on."""
    with World(scenario, seed, scale, node_red=node_red) as world:
        try:
            scenario.run(world)
            world.settle()
        except BenchError as error:
            world.note(str(error).partition("\n")[0])
        result = world.result()
        if not result.kept and not node_red:
            keep_log(world, result)
        return result


def keep_log(world: World, result: Result) -> Path:
    """The system's last words, for whoever looks into a failed row; where they are."""
    path = Path(tempfile.gettempdir()) / f"flowrt-faults-{result.fault}-{result.seed}.log"
    path.write_text(world.system.process.output())
    missing = sorted(world.ledger.missing(world.system.letters()))[:20]
    if missing:
        world_text = f"\nmissing (topic, number): {missing}\n"
        path.write_text(path.read_text() + world_text)
    return path
