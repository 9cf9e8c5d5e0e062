"""Random graphs whose connections deliver in random orders: every window leaves once, with exactly its messages."""

from collections import Counter, deque

from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.logicaltime.groups import Groups
from flowrt.logicaltime.stamps import END
from flowrt.runtime.timing import Relay


class Network:
    """Nodes that pass, delay or fold, joined by queues. The first nodes are sources."""

    def __init__(self, kinds, edges):
        self.kinds = kinds
        self.queues = {edge: deque() for edge in edges}
        self.relays = [Relay() for _ in kinds]
        self.groups = [Groups() for _ in kinds]
        self.left = [[] for _ in kinds]
        """By folding node, time and messages of what left."""
        self.takes = {edge: self.relays[edge[1]].input() for edge in edges}
        for number, kind in enumerate(kinds):
            self.relays[number].targets = [
                lambda mark, edge=edge: self.queues[edge].append((None, mark)) for edge in edges if edge[0] == number
            ]
            if kind == "fold":
                self.relays[number].work = lambda frontier, number=number: self.close(number, frontier)

    def send(self, number, time, items):
        for edge, queue in self.queues.items():
            if edge[0] == number:
                queue.append((items, time))

    def accept(self, number, time, items):
        kind, groups = self.kinds[number], self.groups[number]
        if kind == "fold":
            (groups.get(time) or groups.open(time, [])).extend(items)
        else:
            self.send(number, -(-time // kind) * kind, items)

    def close(self, number, frontier):
        for time, items in self.groups[number].passed(frontier):
            self.left[number].append((time, items))
            self.send(number, time, items)

    def deliver(self, choose):
        """One thing from one queue; whether there was any."""
        waiting = sorted(edge for edge, queue in self.queues.items() if queue)
        if not waiting:
            return False
        edge = waiting[choose % len(waiting)]
        items, time = self.queues[edge].popleft()
        if items is None:
            self.takes[edge](time)
        else:
            self.accept(edge[1], time, items)
        return True


def expected(kinds, edges, sources, sent):
    """What each folding node gives, by time, computed all at once."""
    out = {number: [] for number in range(len(kinds))}
    for number, time, item in sent:
        out[number].append((time, (item,)))
    folded = {}
    for number in range(sources, len(kinds)):
        came = [message for edge in edges if edge[1] == number for message in out[edge[0]]]
        if kinds[number] == "fold":
            by_time = {}
            for time, items in came:
                by_time.setdefault(time, Counter()).update(items)
            folded[number] = by_time
            out[number] = [(time, tuple(items.elements())) for time, items in by_time.items()]
        else:
            out[number] = [(-(-time // kinds[number]) * kinds[number], items) for time, items in came]
    return folded


@st.composite
def networks(draw):
    sources = draw(st.integers(1, 3))
    kinds = ["source"] * sources + draw(st.lists(st.sampled_from([1, 5, 10, "fold"]), min_size=1, max_size=6))
    edges = []
    for number in range(sources, len(kinds)):
        inputs = draw(st.sets(st.integers(0, number - 1), min_size=1, max_size=3))
        edges += [(source, number) for source in sorted(inputs)]
    return sources, kinds, edges


@settings(max_examples=150, deadline=None)
@given(
    networks(),
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.booleans()), max_size=30),
    st.lists(st.integers(0, 50), min_size=1, max_size=40),
)
def test_every_window_leaves_once_in_order_with_exactly_its_messages(network, actions, choices):
    """Sources send at rising times and give marks now and again; queues are served in any order."""
    sources, kinds, edges = network
    net = Network(kinds, edges)
    now, sent, turn = [0] * sources, [], 0
    for place, passed, is_mark in actions:
        source = place % sources
        now[source] += passed
        if is_mark:
            for tell in net.relays[source].targets:
                tell(now[source])
        else:
            sent.append((source, now[source], len(sent)))
            net.send(source, now[source], (len(sent) - 1,))
        for _ in range(choices[turn % len(choices)] % 4):
            net.deliver(choices[turn % len(choices)])
        turn += 1
    for source in range(sources):
        for tell in net.relays[source].targets:
            tell(END)
    while net.deliver(choices[turn % len(choices)]):
        turn += 1

    wanted = expected(kinds, edges, sources, sent)
    for number, kind in enumerate(kinds):
        if kind == "fold":
            times = [time for time, _ in net.left[number]]
            assert times == sorted(set(times))
            assert {time: Counter(items) for time, items in net.left[number]} == wanted[number]
            assert not len(net.groups[number])
