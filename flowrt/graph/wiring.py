"""Who feeds whom: a graph's connections by name, for checks and the planner."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from flowrt.graph.model import Connection, GraphFile
from flowrt.operators.base import Operation
from flowrt.operators.decode import DecodeOperation
from flowrt.operators.transform import TransformOperation
from flowrt.values import Struct


class Edge(Struct, frozen=True):
    """A connection between two operations that exist."""

    index: int
    """In the file's list."""
    source: str
    arm: str | None
    target: str


def kind_of(operation: Operation) -> str:
    """An operation's `operationType`. Every member of `OPERATIONS` has one; their base has not."""
    return str(getattr(operation, "operation_type", ""))


class Wiring:
    """Operations by name (the first of each name counts) and the connections between them."""

    def __init__(self, file: GraphFile) -> None:
        self.operations: dict[str, Operation] = {}
        self.index: dict[str, int] = {}
        for index, operation in enumerate(file.operations):
            if operation.name not in self.operations:
                self.operations[operation.name] = operation
                self.index[operation.name] = index
        self.edges = [
            Edge(index, connection.from_.name, connection.from_.arm, connection.to.name)
            for index, connection in enumerate(file.connections)
            if self._sound(connection)
        ]
        self.outgoing: dict[str, list[Edge]] = {name: [] for name in self.operations}
        self.incoming: dict[str, list[Edge]] = {name: [] for name in self.operations}
        for edge in self.edges:
            self.outgoing[edge.source].append(edge)
            self.incoming[edge.target].append(edge)

    def _sound(self, connection: Connection) -> bool:
        ends = connection.from_.name, connection.to.name
        return ends[0] in self.operations and ends[1] in self.operations and ends[0] != ends[1]

    def kind(self, name: str) -> str:
        """The operation's type, as written."""
        return kind_of(self.operations[name])

    def has_arms(self, name: str) -> bool:
        """Whether the operation is a branch, of whatever type."""
        operation = self.operations[name]
        forked = isinstance(operation, TransformOperation | DecodeOperation) and operation.has_arms
        return kind_of(operation) == "branch" or forked

    def order(self) -> list[str]:
        """An order in which every connection points forward, as close to the file's as that allows. Operations on or
        behind a cycle are left out."""
        waiting = {name: len(edges) for name, edges in self.incoming.items()}
        ready = deque(name for name, count in waiting.items() if count == 0)
        order = []
        while ready:
            name = ready.popleft()
            order.append(name)
            for edge in self.outgoing[name]:
                waiting[edge.target] -= 1
                if waiting[edge.target] == 0:
                    ready.append(edge.target)
        return order

    def downstream(self, names: Iterable[str]) -> set[str]:
        """The given operations and everything that they lead to."""
        reached: set[str] = set()
        due = list(names)
        while due:
            name = due.pop()
            if name not in reached:
                reached.add(name)
                due.extend(edge.target for edge in self.outgoing[name])
        return reached

    def upstream(self, name: str) -> set[str]:
        """Everything that leads to an operation."""
        reached: set[str] = set()
        due = [name]
        while due:
            for edge in self.incoming[due.pop()]:
                if edge.source not in reached:
                    reached.add(edge.source)
                    due.append(edge.source)
        return reached

    def cycle(self) -> list[Edge]:
        """The connections of one cycle, in their order; empty without one."""
        behind = set(self.operations) - set(self.order())
        while behind:
            ends = {name for name in behind if not any(edge.target in behind for edge in self.outgoing[name])}
            if not ends:
                break
            behind -= ends
        if not behind:
            return []
        path: list[Edge] = []
        seen: dict[str, int] = {}
        name = next(name for name in self.operations if name in behind)
        while name not in seen:
            seen[name] = len(path)
            path.append(next(edge for edge in self.outgoing[name] if edge.target in behind))
            name = path[-1].target
        return path[seen[name] :]
