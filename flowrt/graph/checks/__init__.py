"""What can be wrong with a graph whose fields are sound, one concern a file.

Each check is a function of the graph, the facts and the values of `--set`, and yields problems. None of them opens or
runs anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flowrt.graph.checks import (
    configuration,
    connections,
    endpoints,
    libraries,
    metadata,
    models,
    modules,
    names,
    outage,
    quotas,
    time,
    topics,
)
from flowrt.graph.facts import Facts
from flowrt.graph.graph import Graph
from flowrt.operators.formatted import FormatOperation
from flowrt.operators.transform import TransformOperation
from flowrt.problem import Problem


def check(graph: Graph, facts: Facts, sets: Mapping[str, str]) -> list[Problem]:
    """Every problem of a graph, in no particular order."""
    return [
        *metadata.check(graph),
        *names.check(graph),
        *connections.check(graph),
        *endpoints.check(graph, facts),
        *outage.check(graph),
        *topics.check(graph),
        *modules.check(graph, facts),
        *models.check(graph, facts),
        *libraries.check(graph, facts),
        *configuration.check(graph, sets),
        *quotas.check(graph, facts),
        *time.check(graph, facts),
        *_transforms(graph),
        *_schemas(graph, facts),
    ]


def _schemas(graph: Graph, facts: Facts) -> Iterable[Problem]:
    """Without schemas, transforms and formats there is nothing to look at."""
    kinds = (TransformOperation, FormatOperation)
    if not graph.file.schemas and not any(isinstance(each, kinds) for each in graph.file.operations):
        return ()
    from flowrt.graph.checks import formats, schemas

    return (*schemas.check(graph, facts), *formats.check(graph, facts))


def _transforms(graph: Graph) -> Iterable[Problem]:
    """A graph without transforms does not load their language."""
    if not any(isinstance(operation, TransformOperation) for operation in graph.file.operations):
        return ()
    from flowrt.graph.checks import transforms

    return transforms.check(graph)
