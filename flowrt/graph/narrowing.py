"""The model of a graph file, as far as one file needs it.

Validators of all operations, endpoints and sections take a fifth of a start to build, and a file mentions a quarter of
them. What a file does not mention keeps its default and is given no validator; a word that is not known leads to the
whole model, whose mistakes name all that may stand there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache, reduce
from operator import or_
from typing import Annotated, Any

from flowrt.endpoints.registry import ENDPOINTS
from flowrt.graph.model import Endpoint, GraphFile
from flowrt.graph.tree import Mapping, Scalar, Sequence
from flowrt.operators.registry import OPERATIONS
from flowrt.options import Field, Options, own_fields, validation, yaml_name
from flowrt.options.validation import Model


def model_of(root: Mapping) -> type[Model]:
    """`GraphFile`'s model, or one that gives the same values for this file and finds the same mistakes in it."""
    kinds = frozenset(_texts(root, "operations"))
    if not kinds <= OPERATIONS.keys():
        return validation.model_of(GraphFile)
    ends = {key for item in _items(root, "endpoints") for key in item.entries} & ENDPOINTS.keys()
    return _narrowed(frozenset(root.entries), kinds, frozenset(ends))


@lru_cache(maxsize=64)
def _narrowed(keys: frozenset[str], kinds: frozenset[str], ends: frozenset[str]) -> type[Model]:
    types = _unlooked_at(GraphFile, keys)
    if "operations" in keys:
        members: Any = reduce(or_, [OPERATIONS[kind] for kind in sorted(kinds | {"source", "sink"})])
        types["operations"] = tuple[Annotated[members, Field(discriminator="operation_type")], ...]
    if "endpoints" in keys:
        end: Any = validation.narrowed(Endpoint, _unlooked_at(Endpoint, ends))
        types["endpoints"] = tuple[end, ...]
    return validation.narrowed(GraphFile, types)


def _unlooked_at(declared: type[Options], keys: frozenset[str]) -> dict[str, Any]:
    """The class's own fields that are not among the keys."""
    return {name: Any for name, default in own_fields(declared).items() if yaml_name(name, default) not in keys}


def _items(root: Mapping, section: str) -> Iterator[Mapping]:
    found = root.get(section)
    if isinstance(found, Sequence):
        yield from (item for item in found.items if isinstance(item, Mapping))


def _texts(root: Mapping, section: str) -> Iterator[str]:
    """The `operationType` of each item, as far as one is written."""
    for item in _items(root, section):
        kind = item.get("operationType")
        yield kind.value if isinstance(kind, Scalar) and isinstance(kind.value, str) else ""
