"""Our own form of a test: a file's cases as trials, and how their outcomes are judged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from flowrt.graphtest.comparing import decoded, differences, shown
from flowrt.graphtest.content import arrivals, as_payload, as_tensors, payload_of, read
from flowrt.graphtest.model import Case, Expected, Letter, TestFile
from flowrt.graphtest.trial import Left, Outcome, Trial, TrialError


def trial_of(path: Path, file: TestFile, case: Case) -> Trial:
    """One case, ready to run. Raises `TrialError`."""
    folder = path.parent
    schemas = tuple((name, "JsonSchema/draft-07", read(folder, where).decode()) for name, where in file.schemas.items())
    return Trial(
        name=case.name,
        path=path,
        graph=folder / file.graph,
        arrivals=tuple(arrivals(case.in_, folder)),
        judge=partial(judge, case, folder),
        sets=file.set | case.set,
        seeds={key.encode(): as_payload(value) for key, value in (file.state | case.state).items()},
        schemas=schemas,
        stubs=file.stubs | case.stubs,
        watched=frozenset(case.out or ()),
        start=_start(file.start),
        timeout=case.timeout,
    )


def judge(case: Case, folder: Path, outcome: Outcome) -> list[str]:
    """What is wrong with an outcome."""
    return [
        *_outputs(case, folder, outcome),
        *_letters(case.dead_letters, outcome),
        *_metrics(case, outcome),
        *_state(case, outcome),
    ]


def _start(text: str) -> int:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise TrialError(f"start: '{text}' is no moment as 2026-01-01T00:00:00Z") from error
    return round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)


def _outputs(case: Case, folder: Path, outcome: Outcome) -> Iterator[str]:
    if case.out is None:
        return
    for place, wanted in case.out.items():
        if place not in outcome.out:
            yield f"out: '{place}' is no sink, operation or arm of the graph"
            continue
        expected, found = [one for one in wanted for _ in range(one.repeat)], outcome.out[place]
        if case.any_order:
            yield from _matched(place, expected, found, folder)
            continue
        for index, (one, other) in enumerate(zip(expected, found, strict=False)):
            yield from _message(one, other, f"{place}[{index}]", folder)
        yield from _numbers(place, len(expected), found)
    for place, found in outcome.out.items():
        if place not in case.out and found:
            yield f"{place}: {len(found)} messages came out, and `out` does not name it; the first: {_told(found[0])}"


def _matched(place: str, expected: Sequence[Expected], found: Sequence[Left], folder: Path) -> Iterator[str]:
    """Each expected message takes the first one left that is as it has to be."""
    rest = list(found)
    for index, one in enumerate(expected):
        fitting = next((left for left in rest if not list(_message(one, left, "", folder))), None)
        if fitting is None:
            yield f"{place}[{index}]: no message is as expected; the first left: {_told(rest[0]) if rest else 'none'}"
        else:
            rest.remove(fitting)
    yield from _numbers(place, len(expected), found)


def _numbers(place: str, expected: int, found: Sequence[Left]) -> Iterator[str]:
    if len(found) > expected:
        yield f"{place}: expected {expected} messages, found {len(found)}; the first too many: {_told(found[expected])}"
    elif len(found) < expected:
        yield f"{place}: expected {expected} messages, found {len(found)}"


def _message(expected: Expected, found: Left, place: str, folder: Path) -> Iterator[str]:
    head = found.head
    for what, wanted, given in (
        ("topic", expected.topic, head.topic),
        ("contentType", expected.content_type, head.content_type),
    ):
        if wanted is not None and wanted != given:
            yield f"{place}.{what}: expected {shown(wanted)}, found {shown(given)}"
    properties = dict(head.properties)
    for key, wanted in expected.properties.items():
        if properties.get(key) != wanted:
            yield f"{place}.properties.{key}: expected {shown(wanted)}, found {shown(properties.get(key))}"
    if expected.after is not None and round(expected.after * 1000) != found.after:
        yield f"{place}.after: expected {expected.after:g} s, found {found.after / 1000:g} s"
    yield from _payload(expected, found.payload, f"{place}.payload", folder)


def _payload(expected: Expected, found: bytes, place: str, folder: Path) -> Iterator[str]:
    try:
        wanted = payload_of(expected, folder)
    except TrialError as error:
        yield f"{place}: {error}"
        return
    if wanted is None or wanted == found:
        return
    one, other = _both(expected, wanted, found)
    found_any = False
    for words in differences(one, other, place, tolerance=expected.tolerance, partial=expected.partial):
        found_any = True
        yield words
    if not found_any and expected.file is not None:
        yield f"{place}: its bytes are not those of {expected.file}"


def _both(expected: Expected, wanted: bytes, found: bytes) -> tuple[Any, Any]:
    """The two payloads as values that can be compared."""
    if expected.tensors is not None:
        return as_tensors(wanted, expected.tensors), as_tensors(found, expected.tensors) or found
    if expected.base64 is not None or expected.file is not None:
        return wanted, found
    return decoded(wanted), decoded(found)


def _told(left: Left) -> str:
    return f"{left.head.topic} {shown(decoded(left.payload))}"


def _letters(expected: Sequence[Letter], outcome: Outcome) -> Iterator[str]:
    found = outcome.letters
    for index, (one, letter) in enumerate(zip(expected, found, strict=False)):
        place = f"deadLetters[{index}]"
        for what, wanted, given in (("node", one.node, letter.node), ("kind", one.kind, letter.kind)):
            if wanted is not None and wanted != given:
                yield f"{place}.{what}: expected '{wanted}', found '{given}' ({letter.detail})"
        if one.reason is not None and one.reason not in letter.detail:
            yield f"{place}.reason: '{one.reason}' does not stand in '{letter.detail}'"
        if "payload" in one.model_fields_set:
            yield from differences(
                decoded(as_payload(one.payload)), decoded(letter.message.payload), f"{place}.payload"
            )
    for letter in found[len(expected) :]:
        yield f"deadLetters: '{letter.node}' could not handle a message: {letter.kind}: {letter.detail}"
    if len(found) < len(expected):
        yield f"deadLetters: expected {len(expected)}, found {len(found)}"


def _metrics(case: Case, outcome: Outcome) -> Iterator[str]:
    for node, expected in case.metrics.items():
        found = outcome.counters.get(node)
        if found is None:
            yield f"metrics: the graph has no operation '{node}'"
            continue
        for name, wanted in expected.items():
            given = found.get(name, 0)
            if given != wanted:
                known = "" if name in found else f"; it has {', '.join(sorted(found))}"
                yield f"metrics.{node}.{name}: expected {wanted:g}, found {given:g}{known}"


def _state(case: Case, outcome: Outcome) -> Iterator[str]:
    for key, wanted in case.state_after.items():
        given = outcome.state.get(key.encode())
        if wanted is None:
            if given is not None:
                yield f"stateAfter.{key}: expected to be gone, found {shown(decoded(given))}"
        elif given is None:
            yield f"stateAfter.{key}: expected {shown(wanted)}, and there is no such key"
        else:
            yield from differences(decoded(as_payload(wanted)), decoded(given), f"stateAfter.{key}")
