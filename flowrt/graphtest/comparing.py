"""Values compared as JSON, with words for what differs. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

_SHOWN_MAX = 200


def differences(
    expected: Any, found: Any, path: str = "payload", *, tolerance: float = 0.0, partial: bool = False
) -> Iterator[str]:
    """One text for each place where the two differ. 1 and 1.0 are the same number, 1 and true are not the same.

    `tolerance`: how far a number may be off, as a part of the expected one, and beside zero absolutely. `partial`:
    found objects may have members that are not expected.
    """
    match expected, found:
        case dict(), dict():
            for key in expected:
                inner = f"{path}.{key}"
                if key not in found:
                    yield f"{inner}: expected {shown(expected[key])}, and it is missing"
                else:
                    yield from differences(expected[key], found[key], inner, tolerance=tolerance, partial=partial)
            if not partial:
                yield from (
                    f"{path}.{key}: {shown(found[key])} was not expected" for key in found if key not in expected
                )
        case list(), list():
            for index, (one, other) in enumerate(zip(expected, found, strict=False)):
                yield from differences(one, other, f"{path}[{index}]", tolerance=tolerance, partial=partial)
            if len(expected) != len(found):
                yield f"{path}: expected {len(expected)} entries, found {len(found)}"
        case _:
            if not _same(expected, found, tolerance):
                yield f"{path}: expected {shown(expected)}, found {shown(found)}"


def _same(expected: Any, found: Any, tolerance: float) -> bool:
    if isinstance(expected, bool) or isinstance(found, bool):
        return expected is found
    if isinstance(expected, int | float) and isinstance(found, int | float):
        return expected == found or abs(expected - found) <= tolerance * max(abs(expected), 1.0)
    return type(expected) is type(found) and expected == found


def shown(value: Any) -> str:
    """A value for people, cut where it is long."""
    text = value.hex(" ") if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN_MAX else f"{text[:_SHOWN_MAX]}… ({len(text)} characters)"


def decoded(payload: bytes) -> Any:
    """A payload as JSON, else as text, else as it is."""
    try:
        text = payload.decode()
    except UnicodeDecodeError:
        return payload
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
