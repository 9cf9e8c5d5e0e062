"""Tests as Azure IoT Operations' samples have them, unmodified. What nobody documents is decided here, and stands in
docs/decisions/071-aio-open-questions.md.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from flowrt.graphtest.comparing import decoded, differences, shown
from flowrt.graphtest.content import read
from flowrt.graphtest.model import AioTest
from flowrt.graphtest.trial import Arrival, Left, Outcome, Trial, TrialError
from flowrt.message import Head
from flowrt.state.files import seeds

TOPIC, PICTURE_TOPIC = "sensors", "snapshot_simulation"
PICTURES = (".raw", ".jpg", ".jpeg", ".png")
"""Files that are pictures, and enter on the pictures' topic; all others enter on the sensors'."""
SCHEMA_FILE, STATE_FILE = "tk_schema_config.json", "statestore.json"
"""Beside the graph: the module schema, and what the state store holds in the beginning."""
SCHEMA_NAME, SCHEMA_FORMAT = "tk_schema_config", "application/json"
APART_MS = 10
"""Between two files."""
_STEP = re.compile(r"[^.\[\]]+|\[\d+\]")
_MISSING: Any = object()


def trial_of(path: Path, test: AioTest) -> Trial:
    """The test, ready to run. Raises `TrialError`."""
    folder = path.parent
    graph = folder / test.graph
    return Trial(
        name=test.name,
        path=path,
        graph=graph,
        arrivals=tuple(_arrivals(folder / test.input)),
        judge=partial(judge, _expected(folder, test.expected), test),
        seeds=dict(_seeds(graph.parent)),
        schemas=_schemas(graph.parent),
        timeout=test.timeout / 1000,
    )


def judge(expected: Sequence[Any], test: AioTest, outcome: Outcome) -> list[str]:
    """Messages of all sinks, in any order: the samples do not say in which their files are read."""
    found = [_message(left) for name in sorted(outcome.out) for left in outcome.out[name]]
    rest = list(found)
    unmatched = []
    for index, one in enumerate(expected):
        fitting = next((each for each in rest if not list(_differences(one, each, test, ""))), _MISSING)
        if fitting is _MISSING:
            unmatched.append((index, one))
        else:
            rest.remove(fitting)
    problems = []
    for (index, one), other in zip(unmatched, [*rest, *[_MISSING] * len(unmatched)], strict=False):
        if other is not _MISSING:
            problems += list(_differences(one, other, test, f"expected[{index}]."))
    if len(found) != len(expected):
        first = f"; the first too many: {shown(rest[0])}" if rest and not unmatched else ""
        problems.append(f"expected {len(expected)} messages, found {len(found)}{first}")
    problems += [f"{letter.node}: {letter.kind}: {letter.detail}" for letter in outcome.letters if problems]
    return problems


def _differences(expected: Any, found: Any, test: AioTest, place: str) -> Iterator[str]:
    expected, found = (_without(value, test.ignores) for value in (_open(expected), _open(found)))
    if not test.select:
        yield from differences(expected, found, place.rstrip(".") or "message", partial=True)
        return
    for path in test.select:
        one, other = _at(expected, path), _at(found, path)
        if one is _MISSING:
            continue
        if other is _MISSING:
            yield f"{place}{path}: expected {shown(one)}, and it is missing"
        else:
            yield from differences(one, other, f"{place}{path}")


def _message(left: Left) -> dict[str, Any]:
    """A message in the form in which Mosquitto's tools print one, which the expectations have."""
    head = left.head
    properties: dict[str, Any] = {"user-properties": dict(head.properties)}
    if head.content_type is not None:
        properties["content-type"] = head.content_type
    payload = left.payload.decode("utf-8", "backslashreplace")
    return {"topic": head.topic, "payload": payload, "payloadlen": len(left.payload), "properties": properties}


def _open(message: Any) -> Any:
    """Payloads are JSON in a text: they are compared as values."""
    if isinstance(message, dict) and isinstance(message.get("payload"), str):
        return message | {"payload": decoded(message["payload"].encode())}
    return message


def _steps(path: str) -> list[str | int]:
    return [int(step[1:-1]) if step.startswith("[") else step for step in _STEP.findall(path)]


def _at(value: Any, path: str) -> Any:
    for step in _steps(path):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and str(step).isdecimal() and int(step) < len(value):
            value = value[int(step)]
        else:
            return _MISSING
    return value


def _without(value: Any, paths: Iterable[str]) -> Any:
    """Without what a path leads to, from the message or from its payload on; a name alone is meant wherever it is."""
    for path in paths:
        steps = _steps(path)
        value = _cut(value, steps)
        if isinstance(value, dict) and isinstance(value.get("payload"), dict | list):
            value = value | {"payload": _cut(value["payload"], steps)}
        if len(steps) == 1:
            value = _cut_anywhere(value, steps[0])
    return value


def _cut(value: Any, steps: Sequence[str | int]) -> Any:
    first, *rest = steps
    if isinstance(value, dict) and first in value:
        inner = {key: _cut(item, rest) if key == first and rest else item for key, item in value.items()}
        return inner if rest else {key: item for key, item in value.items() if key != first}
    if isinstance(value, list) and isinstance(first, int) and first < len(value):
        return [
            _cut(item, rest) if at == first and rest else item for at, item in enumerate(value) if rest or at != first
        ]
    return value


def _cut_anywhere(value: Any, name: str | int) -> Any:
    if isinstance(value, dict):
        return {key: _cut_anywhere(item, name) for key, item in value.items() if key != name}
    return [_cut_anywhere(item, name) for item in value] if isinstance(value, list) else value


def _arrivals(where: Path) -> Iterator[Arrival]:
    try:
        files = sorted(file for file in where.iterdir() if file.is_file()) if where.is_dir() else [where]
    except OSError as error:
        raise TrialError(f"input: {where}: {error.strerror}") from error
    for index, file in enumerate(files):
        topic = PICTURE_TOPIC if file.suffix.lower() in PICTURES else TOPIC
        yield Arrival(index * APART_MS, read(where.parent, str(file.resolve())), Head(topic), place=file.name)


def _expected(folder: Path, name: str) -> list[Any]:
    try:
        expected = json.loads(read(folder, name))
    except ValueError as error:
        raise TrialError(f"expected: {folder / name} is not JSON: {error}") from error
    return expected if isinstance(expected, list) else [expected]


def _schemas(folder: Path) -> tuple[tuple[str, str, str], ...]:
    if not (folder / SCHEMA_FILE).is_file():
        return ()
    return ((SCHEMA_NAME, SCHEMA_FORMAT, read(folder, SCHEMA_FILE).decode("utf-8", "replace")),)


def _seeds(folder: Path) -> Iterator[tuple[bytes, bytes]]:
    if not (folder / STATE_FILE).is_file():
        return
    try:
        yield from ((seed.key, seed.value) for seed in seeds(read(folder, STATE_FILE).decode()))
    except ValueError as error:
        raise TrialError(f"{folder / STATE_FILE}: {error}") from error
