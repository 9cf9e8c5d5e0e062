"""Libraries of operators that models bring: native code, which runs in a process of its own or not at all."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from flowrt.graph.facts import Facts, ModelFacts, ModuleFacts, Unreadable
from flowrt.graph.graph import Graph, Loc
from flowrt.graph.worlds import uses_nn
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.inference import InferenceOperation, ModelFile, ModelOptions, OperatorLibrary
from flowrt.problem import Problem


def check(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Libraries that are missing or not the ones meant, and operations that would run them beside everything else."""
    named = {model.name: model for model in graph.file.models}
    for index, model in enumerate(graph.file.models):
        yield from _files(graph, ("models", index), model, facts)
    for index, operation in enumerate(graph.file.operations):
        models: Sequence[ModelOptions] = ()
        if isinstance(operation, InferenceOperation):
            if isinstance(operation.model, ModelOptions):
                yield from _files(graph, ("operations", index, "model"), operation.model, facts)
                models = [operation.model]
            elif operation.model in named:
                models = [named[operation.model]]
        elif isinstance(operation, GuestOperation):
            module = facts.modules.get(operation.module)
            if isinstance(module, ModuleFacts) and uses_nn(module):
                models = graph.file.models
        libraries = [library for model in models for each in _every(model) for library in each.custom_operators]
        if libraries and operation.resources.isolation != "process":
            yield _beside_everything(graph, index, operation.name, libraries[0])


def _beside_everything(graph: Graph, index: int, name: str, library: OperatorLibrary) -> Problem:
    message = (
        f"'{name}' may run native code of {library.path}, which could end or change everything that runs beside it; "
        "write resources: {isolation: process}"
    )
    return graph.problem(("operations", index), "native-code", message)


def _every(model: ModelFile) -> list[ModelFile]:
    fallback = model.fallback if isinstance(model, ModelOptions) else None
    return [model] if fallback is None else [model, fallback]


def _files(graph: Graph, loc: Loc, model: ModelFile, facts: Facts) -> Iterator[Problem]:
    if isinstance(model, ModelOptions) and model.fallback is not None:
        yield from _files(graph, (*loc, "fallback"), model.fallback, facts)
    found = facts.model(model)
    if model.custom_operators and isinstance(found, ModelFacts) and found.encoding != "onnx":
        message = f"only ONNX models take customOperators, and {model.path} is {found.encoding}; remove them"
        yield graph.problem((*loc, "customOperators"), "native-code", message)
    for number, library in enumerate(model.custom_operators):
        yield from _library(graph, (*loc, "customOperators", number), library, facts)


def _library(graph: Graph, loc: Loc, library: OperatorLibrary, facts: Facts) -> Iterator[Problem]:
    found = facts.libraries.get(library.path)
    if isinstance(found, Unreadable):
        remedy = "paths are relative to the graph's folder" if found.missing else "build it for this machine"
        message = f"library '{library.path}' cannot be used: {found.reason}; {remedy}"
        yield graph.problem((*loc, "path"), "bad-library", message)
    elif found is not None and library.sha256 is not None and found.digest != f"sha256:{library.sha256}":
        message = f"library {found.path} has {found.digest}; fetch the right file or correct sha256"
        yield graph.problem((*loc, "sha256"), "digest-mismatch", message)
