"""A sound graph to spoil, and what the checks say of a text."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import dedent
from typing import Any

from flowrt.graph.checks import check
from flowrt.graph.facts import Facts, Machine, ModelFacts, ModuleFacts, Unreadable
from flowrt.graph.graph import Graph
from flowrt.graph.plan import Plan
from flowrt.graph.planner import plan
from flowrt.graph.reading import read
from flowrt.graph.resolve import models_of
from flowrt.message import Tensor
from flowrt.operators.guest_config import GuestOperation
from flowrt.problem import Problem, in_order

SOUND = """\
metadata: {name: pump, version: "1.2.0"}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints:
  - name: plant
    mqtt: {host: 127.0.0.1}
operations:
  - operationType: source
    name: sensors
    endpoint: plant
    topics: ["plant/+/pump"]
  - operationType: map
    name: features
    module: pump-features:1.0.0
    resources: {cpu: 250m, memory: 16Mi, deadline: 20ms}
  - operationType: inference
    name: detector
    model: {path: pump.onnx}
  - operationType: sink
    name: alerts
    endpoint: plant
    topic: alerts
connections:
  - {from: {name: sensors}, to: {name: features}}
  - {from: {name: features}, to: {name: detector}}
  - {from: {name: detector}, to: {name: alerts}}
moduleConfigurations:
  - name: features
    parameters: {window: {name: window, default: "60"}}
"""
"""Lines are counted from 1 in the tests: keep them where they are."""

_CALL = "(i32, i32) -> (i32)"
EXPORTS = {
    "memory": "memory",
    "flowrt_abi": "() -> (i32)",
    "flowrt_buffer": "(i32) -> (i32)",
    "flowrt_map": _CALL,
    "flowrt_filter": _CALL,
    "flowrt_branch": _CALL,
}
DIGEST = "a" * 64


def module(**changes: Any) -> ModuleFacts:
    """A module that can be map, filter and branch."""
    facts = {"path": "m.wasm", "digest": f"sha256:{DIGEST}", "form": "core", "exports": EXPORTS, "imports": ()}
    return ModuleFacts(**{**facts, **changes})


def model(inputs: str = "f32 -1 24", outputs: str = "f32 -1 1", **changes: Any) -> ModelFacts:
    """A model with one input and one output, each written as type and dimensions."""
    facts = {"path": "m.onnx", "digest": f"sha256:{DIGEST}", "encoding": "onnx", "parameter_bytes": 2**20}
    tensors = {"inputs": (tensor("x", inputs),), "outputs": (tensor("y", outputs),)}
    return ModelFacts(**{**facts, **tensors, **changes})


def tensor(name: str, text: str) -> Tensor:
    kind, *dims = text.split()
    return Tensor(name, kind, tuple(map(int, dims)))


def problems(
    text: str,
    *,
    modules: Mapping[str, ModuleFacts | Unreadable] | None = None,
    models: Mapping[str, ModelFacts | Unreadable] | None = None,
    sets: Mapping[str, str] | None = None,
    environ: Mapping[str, str] | None = None,
    machine: Machine | None = None,
) -> list[Problem]:
    """Every problem of a text, in order. Modules and models that are not given are sound."""
    reading = read(dedent(text).encode(), "g.yaml", sets or {}, environ or {})
    found = list(reading.problems)
    if reading.graph is not None:
        found += check(reading.graph, facts(reading.graph, modules, models, machine), sets or {})
    return in_order(found)


def facts(
    graph: Graph,
    modules: Mapping[str, ModuleFacts | Unreadable] | None = None,
    models: Mapping[str, ModelFacts | Unreadable] | None = None,
    machine: Machine | None = None,
) -> Facts:
    """What the given facts say, and that all else is sound."""
    named = [op.module for op in graph.file.operations if isinstance(op, GuestOperation)]
    return Facts(
        {name: module() for name in named} | dict(modules or {}),
        {found.path: model() for found in models_of(graph)} | dict(models or {}),
        machine,
    )


def found(text: str, **given: Any) -> list[tuple[int, int, str]]:
    """Line, column and code of every problem."""
    return [(problem.line, problem.column, problem.code) for problem in problems(text, **given)]


def spoilt(old: str, new: str, text: str = SOUND) -> str:
    """The text with `old`, which stands in it once, replaced."""
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times"
    return text.replace(old, new)


def planned(text: str, *, sets: Mapping[str, str] | None = None, **given: Any) -> Plan:
    """The plan of a text without errors."""
    reading = read(dedent(text).encode(), "g.yaml", sets or {}, {})
    assert reading.graph is not None, reading.problems
    assert not reading.problems
    return plan(reading.graph, facts(reading.graph, **given), sets or {})
