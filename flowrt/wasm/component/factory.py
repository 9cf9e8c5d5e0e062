"""From a component's facts to what an operator needs: something that makes guests."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType

import wasmtime
from wasmtime import component as native

from flowrt.counters import NodeCounters, OwnMetrics
from flowrt.errors import FlowrtBug, StartError
from flowrt.events import Emit
from flowrt.graph.plan import NodePlan
from flowrt.graph.wiring import kind_of
from flowrt.graph.worlds import KINDS, WASI, in_preview, interface, is_preview
from flowrt.operators.base import Guest
from flowrt.quota.meter import Meter
from flowrt.quota.pool import Pool
from flowrt.quota.resources import Resources
from flowrt.state.store import StateStore
from flowrt.wasm.cache import CodeCache, compile_component
from flowrt.wasm.component import wit
from flowrt.wasm.component.absent import Absent
from flowrt.wasm.component.apart import guest_or_rest, sleeps
from flowrt.wasm.component.grants import NOTHING_GRANTED, Grants, withheld
from flowrt.wasm.component.guest import ComponentGuest
from flowrt.wasm.component.host import host_calls
from flowrt.wasm.component.signature import functions
from flowrt.wasm.component.store import HostCall, Offer
from flowrt.wasm.engine import PLAIN, Engine, Variant, variant_of
from flowrt.wasm.factory import read_code
from flowrt.wasm.log import GuestLog
from flowrt.wasm.refusals import Refusals

_SHOWN_MAX = 120
Interfaces = Mapping[str, Mapping[str, str]]
"""Functions and their signatures by interface."""
NO_MORE: Interfaces = MappingProxyType({})
Offers = Callable[[], Offer]
"""Makes what one instance is offered: what it remembers must not outlive the instance."""


class ComponentGuestFactory:
    """Makes the instances of one node, one after the other. Implements `operators.base.GuestFactory`."""

    def __init__(
        self,
        engine: Engine,
        component: native.Component,
        kind: str,
        resources: Resources,
        properties: Sequence[tuple[str, str]],
        log: GuestLog,
        metrics: OwnMetrics,
        state: StateStore,
        schemas: Sequence[tuple[str, str, str]] = (),
        meter: Meter | None = None,
        pool: Pool | None = None,
        extra: Offers = Offer,
        grants: Grants = NOTHING_GRANTED,
        *,
        counters: NodeCounters | None = None,
        preview: bool = False,
        apart: bool = True,
    ) -> None:
        """`apart`: one that can sleep with the engine is to work on a thread of its own."""
        self.log = log
        counters = counters or NodeCounters()
        self._extra = extra
        self._grants = grants
        imported = functions(component, engine.native(variant_of(resources)), exported=False)
        self._withheld = withheld(imported, grants, Refusals(log, counters.denied))
        self._sleeps = apart and sleeps(imported)
        self._absent = Absent(counters)
        self._deadline, self._meter = resources.deadline, meter
        calls = [*host_calls(log, metrics, state, counters), *self._withheld.calls]
        if preview:
            calls = [HostCall(in_preview(call.interface), call.name, call.call) for call in calls]
        self._make = partial(
            ComponentGuest,
            engine,
            component,
            kind,
            resources,
            tuple(properties),
            self._watched(calls),
            log,
            schemas,
            meter,
            pool,
            counters=counters,
            preview=preview,
        )

    def __call__(self) -> Guest:
        extra = self._extra()
        more = Offer(self._watched(extra.calls), [*extra.resources, *self._withheld.resources])
        make = partial(self._make, extra=more, grants=self._grants)
        return guest_or_rest(make, self._absent, self._deadline, self._meter) if self._sleeps else make()

    def _watched(self, calls: Sequence[HostCall]) -> Sequence[HostCall]:
        return [self._absent.watched(call) for call in calls] if self._sleeps else calls


def component_factory(
    engine: Engine,
    node: NodePlan,
    *,
    emit: Emit,
    graph: str,
    metrics: OwnMetrics,
    state: StateStore,
    cache: CodeCache | None = None,
    meter: Meter | None = None,
    pool: Pool | None = None,
    extra: Offers = Offer,
    more: Interfaces = NO_MORE,
    grants: Grants = NOTHING_GRANTED,
    counters: NodeCounters | None = None,
    apart: bool = True,
) -> ComponentGuestFactory:
    """Compile the component of a node (or take it from the cache). `extra` makes what else an instance may import,
    functions with the signatures of `more`. Raises StartError when the file is gone, has changed since it was
    inspected, does not compile, or has functions of other types than the interfaces."""
    facts, kind, resources = node.module, kind_of(node.operation), node.operation.resources
    if facts is None or kind not in KINDS:
        raise FlowrtBug(f"node '{node.name}' is no component's")
    code = read_code(facts, node.name)
    try:
        component = compile_component(engine, code, cache, variant_of(resources))
    except ValueError as error:
        raise StartError(f"node '{node.name}': component {facts.path} does not compile: {error}") from error
    preview = is_preview(facts)
    for wrong in objections(engine, component, kind, more, variant_of(resources), preview=preview):
        raise StartError(f"node '{node.name}': component {facts.path} {wrong}")
    log = GuestLog(emit, graph, node.name, resources.log_lines, counters=counters)
    return ComponentGuestFactory(
        engine, component, kind, resources, node.properties, log, metrics, state,
        schemas=node.schemas, meter=meter, pool=pool, extra=extra, grants=grants, counters=counters, preview=preview,
        apart=apart,
    )  # fmt: skip


def objections(
    engine: Engine,
    component: native.Component,
    kind: str,
    more: Interfaces = NO_MORE,
    variant: Variant = PLAIN,
    *,
    preview: bool = False,
) -> list[str]:
    """Why a component cannot run as an operation of that type."""
    own, world = engine.native(variant), interface(kind, preview=preview)
    exported = functions(component, own, exported=True).get(world, {})
    needed = {"process": (wit.BARE if preview else wit.PROCESS)[kind], "init": wit.INIT}
    offered = {in_preview(name): known for name, known in wit.OFFERED.items()} if preview else wit.OFFERED
    found = [
        f"exports {name} of {world} as {_short(exported[name])}, and it must be {_short(wanted)}"
        if name in exported
        else f"does not export {name} of {world}"
        for name, wanted in needed.items()
        if exported.get(name) != wanted
    ]
    return found + import_objections(component, own, {**offered, **more})


def import_objections(component: native.Component, own: wasmtime.Engine, known: Interfaces) -> list[str]:
    """What a component imports beyond WASI that is not among `known`, or of another type. Only then are its values safe
    to read by address."""
    found = []
    for name, offered in functions(component, own, exported=False).items():
        if name.startswith(WASI):
            continue
        if name not in known:
            found.append(f"imports {name}, which this version does not offer")
        found += [
            f"imports {function} of {name} as {_short(signature)}, which this host does not offer"
            for function, signature in offered.items()
            if name in known and known[name].get(function) != signature
        ]
    return found


def _short(signature: str) -> str:
    return signature if len(signature) <= _SHOWN_MAX else signature[: _SHOWN_MAX - 1] + "…"
