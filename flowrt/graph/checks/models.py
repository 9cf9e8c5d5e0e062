"""Models, and whether the tensors that one operation makes are those the next one takes.

A payload holds tensors as bytes, one after the other, so an output of shape [4, 6] may well be an input of shape [24]:
what must agree is how many there are, their types and their sizes.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

from flowrt.graph.facts import Facts, ModelFacts, ModuleFacts, Unreadable
from flowrt.graph.graph import Graph, Loc
from flowrt.graph.planner import model_of
from flowrt.message import Tensor
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.inference import InferenceOperation, ModelFile, ModelOptions
from flowrt.problem import Problem, nearest

_PASS_ON = ("filter", "branch", "concatenate", "delay")
"""Operation types whose messages leave as they came."""


def check(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Models that are missing or wrong, and tensors that cannot meet."""
    for index, model in enumerate(graph.file.models):
        yield from _file(graph, ("models", index), model, facts)
    for index, operation in enumerate(graph.file.operations):
        if isinstance(operation, InferenceOperation):
            yield from _inference(graph, index, operation, facts)
    for name, index in graph.wiring.index.items():
        yield from _tensors(graph, facts, name, index)


def _inference(graph: Graph, index: int, operation: InferenceOperation, facts: Facts) -> Iterator[Problem]:
    loc = ("operations", index, "model")
    if isinstance(operation.model, ModelOptions):
        yield from _file(graph, loc, operation.model, facts)
    names = [model.name for model in graph.file.models]
    if isinstance(operation.model, str) and operation.model not in names:
        if graph.made_up(operation.model):
            return
        remedy = nearest(operation.model, names) or "; add it to `models`, or give a file: model: {path: …}"
        yield graph.problem(loc, "unknown-model", f"there is no model '{operation.model}'{remedy}")
        return
    model = _facts(operation, graph, facts)
    if (
        model is not None
        and "max" in operation.batch.model_fields_set
        and operation.batch.max > 1
        and not _batched(model)
    ):
        shapes = ", ".join(map(str, model.inputs))
        message = (
            f"batch.max is {operation.batch.max}, but the model's input {shapes} has no free first dimension, "
            "so it runs message by "
            "message; export it with a free one, or remove batch.max"
        )
        yield graph.warning(("operations", index, "batch", "max"), "batch-too-large", message)


def _file(graph: Graph, loc: Loc, model: ModelFile, facts: Facts) -> Iterator[Problem]:
    found = facts.model(model)
    fallback = model.fallback if isinstance(model, ModelOptions) else None
    if fallback is not None:
        yield from _file(graph, (*loc, "fallback"), fallback, facts)
    if isinstance(found, ModelFacts) and found.no_engine:
        if fallback is None:
            message = f"model '{model.path}' cannot run here: {found.no_engine}"
            yield graph.problem((*loc, "path"), "missing-engine", message)
        else:
            message = f"model '{model.path}' cannot run here, and its fallback takes its place: {found.no_engine}"
            yield graph.warning((*loc, "path"), "missing-engine", message)
    if isinstance(found, ModelFacts) and (fault := found.unsigned(model.options)) is not None:
        yield graph.problem((*loc, "options", "signature"), "unknown-signature", fault)
    if isinstance(found, Unreadable):
        code = "missing-model" if found.missing else "unreadable-model"
        remedy = (
            "paths are relative to the graph's folder" if found.missing else "export it again or correct its encoding"
        )
        yield graph.problem((*loc, "path"), code, f"model '{model.path}' cannot be used: {found.reason}; {remedy}")
    elif found is not None and model.sha256 is not None and found.digest != f"sha256:{model.sha256}":
        message = f"model {found.path} has {found.digest}; fetch the right file or correct sha256"
        yield graph.problem((*loc, "sha256"), "digest-mismatch", message)


def _facts(operation: InferenceOperation, graph: Graph, facts: Facts) -> ModelFacts | None:
    try:
        model = model_of(operation, graph)
    except LookupError:
        return None
    found = facts.model(model)
    return found.signed(model.options) if isinstance(found, ModelFacts) else None


def _batched(model: ModelFacts) -> bool:
    return bool(model.inputs) and all(tensor.shape[:1] == (-1,) for tensor in model.inputs)


def _rows(model: ModelFacts, tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Tensors of one message: without the batch dimension, where the model has one."""
    if not _batched(model):
        return tensors
    return tuple(
        Tensor(tensor.name, tensor.type, tensor.shape[1:]) if tensor.shape[:1] == (-1,) else tensor
        for tensor in tensors
    )


def _tensors(graph: Graph, facts: Facts, name: str, index: int) -> Iterator[Problem]:
    takes = _takes(graph, facts, name)
    if not takes:
        return
    key = "model" if isinstance(graph.wiring.operations[name], InferenceOperation) else "module"
    for maker, makes in _makers(graph, facts, name).items():
        if (fault := misfit(makes, takes)) is not None:
            message = f"'{maker}' makes {_list(makes)}, and this takes {_list(takes)}: {fault}; use a {key} that fits"
            yield graph.problem(("operations", index, key), "tensor-mismatch", message)


def misfit(makes: tuple[Tensor, ...], takes: tuple[Tensor, ...]) -> str | None:
    """Why the bytes of one list of tensors cannot be read as the other, or None."""
    if len(makes) != len(takes):
        return f"{len(makes)} tensors are not {len(takes)}"
    for made, taken in zip(makes, takes, strict=True):
        if made.type != taken.type:
            return f"{made.type} is not {taken.type}"
        if not _sizes_meet(made.shape, taken.shape):
            return f"{_count(made)} values are not {_count(taken)}"
    return None


def _sizes_meet(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """Whether free dimensions can be chosen so that both have the same number of values."""
    known_one, known_other = (prod(dim for dim in shape if dim >= 0) for shape in (one, other))
    free_one, free_other = any(dim < 0 for dim in one), any(dim < 0 for dim in other)
    if free_one and free_other:
        return True
    if free_one:
        return known_one == known_other == 0 or (known_one > 0 and known_other % known_one == 0)
    if free_other:
        return known_one == known_other == 0 or (known_other > 0 and known_one % known_other == 0)
    return known_one == known_other


def _count(tensor: Tensor) -> str:
    known = prod(dim for dim in tensor.shape if dim >= 0)
    return f"a multiple of {known}" if any(dim < 0 for dim in tensor.shape) else str(known)


def _list(tensors: tuple[Tensor, ...]) -> str:
    return ", ".join(str(tensor).replace("-1", "?") for tensor in tensors)


def _takes(graph: Graph, facts: Facts, name: str) -> tuple[Tensor, ...]:
    operation = graph.wiring.operations[name]
    if isinstance(operation, InferenceOperation):
        model = _facts(operation, graph, facts)
        return () if model is None else _rows(model, model.inputs)
    module = _module(graph, facts, name)
    return module.inputs if module is not None and graph.wiring.kind(name) == "map" else ()


def _makes(graph: Graph, facts: Facts, name: str) -> tuple[Tensor, ...]:
    operation = graph.wiring.operations[name]
    if isinstance(operation, InferenceOperation):
        model = _facts(operation, graph, facts)
        return () if model is None else _rows(model, model.outputs)
    module = _module(graph, facts, name)
    return module.outputs if module is not None and graph.wiring.kind(name) == "map" else ()


def _module(graph: Graph, facts: Facts, name: str) -> ModuleFacts | None:
    operation = graph.wiring.operations[name]
    found = facts.modules.get(operation.module) if isinstance(operation, GuestOperation) else None
    return found if isinstance(found, ModuleFacts) else None


def _makers(graph: Graph, facts: Facts, name: str) -> dict[str, tuple[Tensor, ...]]:
    """The nearest operations upstream that say what tensors they make."""
    found: dict[str, tuple[Tensor, ...]] = {}
    due, seen = [edge.source for edge in graph.wiring.incoming[name]], {name}
    while due:
        upstream = due.pop()
        if upstream in seen:
            continue
        seen.add(upstream)
        if graph.wiring.kind(upstream) in _PASS_ON:
            due.extend(edge.source for edge in graph.wiring.incoming[upstream])
        elif makes := _makes(graph, facts, upstream):
            found[upstream] = makes
    return found
