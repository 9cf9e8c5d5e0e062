"""Declared quotas against the machine. What is not declared has defaults that bound a fault, not a plan, and is not
summed."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.graph.facts import Facts
from flowrt.graph.graph import Graph
from flowrt.problem import Problem
from flowrt.quota.quantity import format_bytes


def check(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Warnings where the sum cannot hold; each stands at the largest share and names the largest few."""
    if facts.machine is None:
        return
    operations = list(enumerate(graph.file.operations))
    cpu = {index: op.resources.declared_cpu for index, op in operations if op.resources.cpu is not None}
    memory = {index: op.resources.memory for index, op in operations if "memory" in op.resources.model_fields_set}
    if sum(cpu.values()) > facts.machine.cores:
        total, has = f"{sum(cpu.values()):g} cores", f"{facts.machine.cores:g}"
        yield _over(graph, "cpu", cpu, total, has)
    if sum(memory.values()) > facts.machine.memory_bytes:
        total, has = format_bytes(sum(memory.values())), format_bytes(facts.machine.memory_bytes)
        yield _over(graph, "memory", memory, total, has)


_OVER = {"cpu": "cpu-over-machine", "memory": "memory-over-machine"}


def _over(graph: Graph, what: str, shares: dict[int, float] | dict[int, int], total: str, has: str) -> Problem:
    largest = sorted(shares, key=lambda index: -shares[index])[:3]
    names = ", ".join(f"'{graph.file.operations[index].name}'" for index in largest)
    message = (
        f"the declared {what} of all operations adds up to {total}, and the machine has {has}; lower some, the "
        f"largest are {names}"
    )
    return graph.warning(("operations", largest[0], "resources", what), _OVER[what], message)
