"""`datasets`: records from outside that messages are enriched with. The first that fits a message counts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.transforms.documents import decode
from flowrt.transforms.expression import expression
from flowrt.transforms.inputs import MISSING, Formula, Record, find
from flowrt.transforms.paths import Path, parse_input
from flowrt.transforms.rules import Dataset
from flowrt.transforms.tree import Binary, Input, Node
from flowrt.transforms.values import BOOL, key_of

Lookup = Callable[[Dataset], bytes | None]
"""The records of a dataset: one JSON object a line; None where there are none. May raise `NodeFault`."""


class Enrichment:
    """The datasets of one transform."""

    def __init__(self, datasets: Sequence[Dataset], lookup: Lookup) -> None:
        self._records = {dataset.alias: Records(dataset, lookup) for dataset in datasets}

    def of(self, document: Record) -> Mapping[str, Record | None]:
        """For each dataset the record of a message, None where none fits."""
        if not self._records:
            return {}
        return {alias: records.of(document) for alias, records in self._records.items()}


class Records:
    """One dataset. Its records are read again when their text has changed."""

    def __init__(self, dataset: Dataset, lookup: Lookup) -> None:
        self._dataset = dataset
        self._lookup = lookup
        inputs = [parse_input(text) for text in dataset.inputs]
        self._paths = [given.path for given in inputs]
        condition = expression(dataset.expression, len(inputs), wanted=BOOL)
        self._formula = Formula(f"dataset '{dataset.alias}'", condition, inputs, required=False)
        self._equal = _equality(condition.tree, self._paths)
        self._text: bytes | None = None
        self._lines: list[Record] = []
        self._index: dict[Any, Record] = {}

    def of(self, document: Record) -> Record | None:
        """The first record that fits a message. One that lacks what the condition asks for does not."""
        self._refresh()
        if self._equal is not None:
            source, _ = self._equal
            found = find(document, source.segments)
            return None if found is MISSING or found is None else self._index.get(key_of(found))
        for record in self._lines:
            values = [find(record if path.place == "context" else document, path.segments) for path in self._paths]
            if all(value is not MISSING and value is not None for value in values) and self._fits(values):
                return record
        return None

    def _fits(self, values: Sequence[Any]) -> bool:
        result = self._formula.of(values)
        if type(result) is not bool:
            raise self._formula.fault("the condition gives no boolean", values)
        return result

    def _refresh(self) -> None:
        text = self._lookup(self._dataset)
        if text == self._text:
            return
        self._lines = list(self._parsed(text or b""))
        self._text = text
        self._index = {}
        if self._equal is not None:
            for record in self._lines:
                value = find(record, self._equal[1].segments)
                if value is not MISSING and value is not None:
                    self._index.setdefault(key_of(value), record)

    def _parsed(self, text: bytes) -> list[Record]:
        records: list[Record] = []
        for number, line in enumerate(text.splitlines(), 1):
            if not line.strip():
                continue
            try:
                record = decode(line)
            except NodeFault as fault:
                raise NodeFault("format", f"dataset '{self._dataset.alias}', line {number}: {fault.detail}") from None
            if type(record) is not dict:
                raise NodeFault("format", f"dataset '{self._dataset.alias}', line {number}: no JSON object")
            records.append(record)
        return records


def _equality(tree: Node, paths: Sequence[Path]) -> tuple[Path, Path] | None:
    """Message's and record's path of a condition that only compares the two: such records are found by a table."""
    match tree:
        case Binary("==", Input(one), Input(other)):
            sides = {paths[one - 1].place: paths[one - 1], paths[other - 1].place: paths[other - 1]}
            if set(sides) == {"source", "context"}:
                return sides["source"], sides["context"]
    return None
