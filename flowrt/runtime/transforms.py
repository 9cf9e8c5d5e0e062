"""Transforms with what surrounds them: the clock, and where the records of datasets are."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

from flowrt.counters import NodeCounters
from flowrt.endpoints.topics import matches
from flowrt.errors import FlowrtBug, MissingExtra, NodeFault, StartError
from flowrt.operators.base import Operator
from flowrt.operators.transform import TransformOperation
from flowrt.operators.transform_work import (
    BranchRulesOperator,
    FilterRulesOperator,
    MapRulesOperator,
    ThrottleOperator,
)
from flowrt.operators.window import WindowOperator
from flowrt.state.store import StateStore
from flowrt.transforms.build import transform_of
from flowrt.transforms.deciding import BranchTransform, Conforms, FilterTransform
from flowrt.transforms.enrichment import Lookup
from flowrt.transforms.mapping import MapTransform
from flowrt.transforms.rules import Dataset
from flowrt.transforms.sliding import SlidingTransform
from flowrt.transforms.throttle import ThrottleTransform
from flowrt.transforms.window import WindowTransform

RECORDS_BYTES_MAX = 64 * 2**20
"""Of one file of records: they are held in memory."""


def transform_operator(
    operation: TransformOperation,
    home: Path,
    states: Callable[[], StateStore],
    schemas: Sequence[tuple[str, str, str]] = (),
    clock: Callable[[], float] = monotonic,
    *,
    counters: NodeCounters,
) -> Operator:
    """What runs a transform that the checks found sound. `home` is the graph's folder, `schemas` what it validates by;
    `clock` gives seconds.

    Raises `StartError` when a dataset's file cannot be read.
    """
    settings = operation.settings()
    lookup = _lookup(operation.name, settings.rules.datasets, home, states)
    conforms = _conforms(operation.name, schemas) if settings.rules.validate_schema else None

    def windows() -> WindowTransform | SlidingTransform:
        made = transform_of(settings, lookup, matches, conforms)
        if not isinstance(made, WindowTransform | SlidingTransform):
            raise FlowrtBug(f"node '{operation.name}' is no window any more")
        return made

    match transform_of(settings, lookup, matches, conforms):
        case MapTransform() as transform:
            return MapRulesOperator(transform)
        case FilterTransform() as transform:
            return FilterRulesOperator(transform)
        case BranchTransform() as transform:
            return BranchRulesOperator(transform)
        case ThrottleTransform() as transform:
            return ThrottleOperator(transform, clock)
        case WindowTransform() | SlidingTransform():
            return WindowOperator(windows, operation.resources.memory, counters)
    found = " and ".join(settings.kinds) or "nothing to do"
    raise StartError(f"node '{operation.name}': this version does not run a transform with {found}")


def _conforms(node: str, schemas: Sequence[tuple[str, str, str]]) -> Conforms:
    """Judges documents by the schema of the connections that lead to the node."""
    from flowrt.formats.base import SchemaError
    from flowrt.formats.json_schema import conforms

    try:
        ((_, format_, text),) = schemas
        return conforms(text, format_)
    except (MissingExtra, SchemaError, ValueError) as error:
        raise StartError(f"node '{node}': messages cannot be validated: {error}") from error


def _lookup(node: str, datasets: tuple[Dataset, ...], home: Path, states: Callable[[], StateStore]) -> Lookup:
    """Records of files are read once, at the start; those of the state store are looked up for every message, so that
    what is written there counts at once."""
    files = {dataset.file: _read(node, home / dataset.file) for dataset in datasets if dataset.file is not None}
    store = states() if any(dataset.file is None for dataset in datasets) else None

    def records(dataset: Dataset) -> bytes | None:
        if dataset.file is not None:
            return files[dataset.file]
        try:
            found = store.get(dataset.store_key.encode()) if store is not None else None
        except sqlite3.Error as error:
            raise NodeFault("error", f"the state store cannot be read: {error}") from error
        return None if found is None else found[0]

    return records


def _read(node: str, path: Path) -> bytes:
    try:
        if path.stat().st_size > RECORDS_BYTES_MAX:
            raise StartError(f"node '{node}': {path} has more than {RECORDS_BYTES_MAX} bytes of records")
        return path.read_bytes()
    except OSError as error:
        raise StartError(f"node '{node}': the records in {path} cannot be read: {error.strerror}") from error
