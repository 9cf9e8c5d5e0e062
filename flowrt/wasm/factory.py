"""From a module's facts to what an operator needs: something that makes guests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import wasmtime

from flowrt.counters import NodeCounters
from flowrt.errors import StartError
from flowrt.events import Emit
from flowrt.graph.facts import ModuleFacts
from flowrt.quota.meter import Meter
from flowrt.quota.pool import Pool
from flowrt.quota.resources import Resources
from flowrt.wasm.cache import CodeCache, compile_module
from flowrt.wasm.engine import Engine, variant_of
from flowrt.wasm.guest import CoreGuest
from flowrt.wasm.heads import NodeHeads
from flowrt.wasm.imports import HostFunction
from flowrt.wasm.inspect import digest_of
from flowrt.wasm.log import GuestLog
from flowrt.wasm.refusals import Refusals
from flowrt.wasm.tables import ANY_TABLES, Tables, tables_of

HostFunctions = Callable[[], Sequence[HostFunction]]
"""Makes the functions of one instance: what they remember (contexts, handles) must not outlive it."""


class CoreGuestFactory:
    """Makes the instances of one node, one after the other. Implements `operators.base.GuestFactory`."""

    def __init__(
        self,
        engine: Engine,
        module: wasmtime.Module,
        resources: Resources,
        properties: Sequence[tuple[str, str]],
        heads: NodeHeads,
        log: GuestLog,
        grants: frozenset[str],
        extra: HostFunctions,
        *,
        tables: Tables = ANY_TABLES,
        meter: Meter | None = None,
        pool: Pool | None = None,
        denied: dict[str, int] | None = None,
    ) -> None:
        self.denied = {} if denied is None else denied
        """WASI calls that failed for want of a grant, by name, over all instances."""
        self.log = log
        self._extra = extra
        self._make = partial(
            CoreGuest, engine, module, resources, properties, heads, log, grants, Refusals(log, self.denied),
            tables=tables, meter=meter, pool=pool,
        )  # fmt: skip

    def __call__(self) -> CoreGuest:
        return self._make(self._extra())


def guest_factory(
    engine: Engine,
    facts: ModuleFacts,
    resources: Resources,
    properties: Sequence[tuple[str, str]] = (),
    *,
    emit: Emit,
    graph: str,
    node: str,
    extra: HostFunctions = tuple,
    grants: frozenset[str] = frozenset(),
    cache: CodeCache | None = None,
    meter: Meter | None = None,
    pool: Pool | None = None,
    denied: dict[str, int] | None = None,
    counters: NodeCounters | None = None,
) -> CoreGuestFactory:
    """Compile the module of `facts` (or take it from the cache) for one node. `extra` makes further host functions for
    each instance. Raises StartError when the file is gone, has changed since it was inspected, or does not compile."""
    if facts.form != "core":
        raise StartError(f"node '{node}': module {facts.path} is a {facts.form}; this is the factory of core modules")
    code = read_code(facts, node)
    try:
        module = compile_module(engine, code, cache, variant_of(resources))
    except ValueError as error:
        raise StartError(f"node '{node}': module {facts.path} does not compile: {error}") from error
    log = GuestLog(emit, graph, node, resources.log_lines, counters=counters)
    return CoreGuestFactory(
        engine, module, resources, properties, NodeHeads(facts.outputs), log, grants, extra,
        tables=tables_of(code, resources.memory), meter=meter, pool=pool, denied=denied,
    )  # fmt: skip


def read_code(facts: ModuleFacts, node: str) -> bytes:
    """The bytes that were inspected. Raises StartError when the file is gone or has changed since."""
    try:
        code = Path(facts.path).read_bytes()
    except OSError as error:
        raise StartError(f"node '{node}': module {facts.path} cannot be read: {error.strerror}") from error
    if digest_of(code) != facts.digest:
        raise StartError(f"node '{node}': module {facts.path} has changed since it was checked; start again")
    return code
