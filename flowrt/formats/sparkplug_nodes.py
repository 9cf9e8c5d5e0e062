"""What is remembered of Sparkplug's edge nodes: that they are born, the names behind aliases, the last number.

All of it comes from outside, so all of it is bounded. What is forgotten is learned again by a birth that is asked for.
"""

from __future__ import annotations

from collections import OrderedDict

from flowrt.errors import NodeFault
from flowrt.values import Struct, field

NODES_MAX = 1024
"""Edge nodes remembered; the one that has been silent longest gives way."""
METRICS_MAX = 50_000
"""Metrics of one edge node with all its devices."""
SEQUENCE = 256
"""Numbers of messages before they begin again at 0."""

Key = tuple[str, str]
"""Group and edge node."""


class Known(Struct):
    """One metric from a birth."""

    name: str
    type: str
    device: str | None


class EdgeNode(Struct):
    """One edge node since its birth."""

    session: int | None
    """`bdSeq`: the number of its connection, which its death repeats."""
    aliases: dict[int, Known] = field(default_factory=dict)
    types: dict[tuple[str | None, str], str] = field(default_factory=dict)
    """By device and name."""
    devices: set[str] = field(default_factory=set)
    last: int | None = None
    """The number of the last message."""

    def learn(self, name: str, alias: int | None, type_: str, device: str | None) -> None:
        """One metric of a birth. Raises `NodeFault` for more of them than are remembered."""
        if len(self.types) >= METRICS_MAX:
            raise NodeFault("size", f"the edge node has more than {METRICS_MAX} metrics")
        self.types[device, name] = type_
        if alias is not None:
            self.aliases[alias] = Known(name, type_, device)

    def forget(self, device: str) -> None:
        """A device has died, or is born again."""
        self.devices.discard(device)
        self.aliases = {alias: known for alias, known in self.aliases.items() if known.device != device}
        self.types = {key: type_ for key, type_ in self.types.items() if key[0] != device}

    def follows(self, number: int) -> bool:
        """Whether a message's number is the next one."""
        return self.last is None or number == (self.last + 1) % SEQUENCE


class EdgeNodes:
    """All edge nodes of one operation."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[Key, EdgeNode] = OrderedDict()

    def get(self, key: Key) -> EdgeNode | None:
        """The node, if it is born."""
        if key in self._nodes:
            self._nodes.move_to_end(key)
        return self._nodes.get(key)

    def born(self, key: Key, node: EdgeNode) -> None:
        """It is born, or again."""
        self._nodes[key] = node
        self._nodes.move_to_end(key)
        while len(self._nodes) > NODES_MAX:
            self._nodes.popitem(last=False)

    def died(self, key: Key) -> None:
        """It has died."""
        self._nodes.pop(key, None)
