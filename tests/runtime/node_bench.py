"""One node between a tracker and a list."""

import threading

from flowrt.counters import NodeCounters
from flowrt.delivery.deadletters import DeadLetters
from flowrt.delivery.tracker import Tracker
from flowrt.errors import GuestTrap, NodeFault
from flowrt.operators.base import Emission, Fault, OnError
from flowrt.quota.resources import Resources
from flowrt.runtime.limits import Limits
from flowrt.runtime.node import Node
from flowrt.runtime.onerror import FaultHandler
from flowrt.testing import batch_of

DEAD_LETTER = OnError()


class Shouting:
    """Turns payloads into capitals; b'trap' kills it, b'refuse' is refused."""

    def __init__(self):
        self.dead = False
        self.restarts = 0

    def process(self, batch):
        assert not self.dead, "an instance that trapped was called again"
        if b"trap" in batch.payloads:
            self.dead = True
            raise GuestTrap("trap", "unreachable", "at shout")
        refused = [payload == b"refuse" for payload in batch.payloads]
        faults = tuple(Fault(batch.slice(i, i + 1), NodeFault("error", "no")) for i, bad in enumerate(refused) if bad)
        good = batch.select([not bad for bad in refused])
        return Emission((good.with_payloads([p.upper() for p in good.payloads]) if len(good) else None,), faults=faults)

    def restart(self):
        self.dead = False
        self.restarts += 1

    def memory_bytes(self):
        return 0

    def close(self):
        pass


class Bench:
    """One node with a list behind it."""

    def __init__(self, tmp_path, operator, *, on_error=DEAD_LETTER, **resources):
        self.events, self.out, self.released = [], [], 0
        self.counters = NodeCounters()
        self.letters = DeadLetters(tmp_path / "dead.sqlite")
        stopping = threading.Event()
        faults = FaultHandler("g", "n", on_error, self.counters, self.letters, stopping, self.events.append)
        limits = Limits("g", "n", Resources(**resources), self.counters, stopping, self.events.append)
        self.node = Node(
            "g", "n", operator, faults, self.counters,
            on_error=on_error, limits=limits, stopping=stopping, emit=self.events.append,
        )  # fmt: skip
        self.node.targets = [[self.take]]
        self.tracker = Tracker(self.release)

    def release(self, count):
        self.released += count

    def take(self, batch):
        self.out += batch.payloads
        batch.tracker.settle(batch.seqs)

    def send(self, *payloads):
        self.node.accept(batch_of(payloads, tracker=self.tracker))

    def dead(self):
        return [(letter.kind, letter.detail, letter.message.payload) for letter in self.letters.list()]
