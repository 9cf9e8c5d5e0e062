"""Keys and values of the state store as files: JSON of Azure IoT Operations' samples in, JSON lines in and out.

A seed file holds one object of keys and values, or a list of such objects. A line of an export is an object with `key`
and `value`, or `key64` and `value64` in base64 where they are no text, and `expires` in milliseconds since the epoch.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

from flowrt.parsing import parsed
from flowrt.state.store import Entry


class Seed(NamedTuple):
    """A key to set."""

    key: bytes
    value: bytes
    expires: int | None = None
    """Milliseconds since the epoch, or None: never."""


def seeds(text: str) -> list[Seed]:
    """Of a seed file or an export. Raises ValueError with the reason."""
    try:
        found = parsed(text)
    except ValueError as whole:
        lines = [line for line in text.splitlines() if line.strip()]
        try:
            return [_line(parsed(line), number) for number, line in enumerate(lines, 1)]
        except json.JSONDecodeError:
            raise ValueError(f"it is neither JSON nor JSON lines: {whole}") from None
    if isinstance(found, dict) and _is_line(found):
        return [_line(found, 1)]
    return [seed for entry in (found if isinstance(found, list) else [found]) for seed in _object(entry)]


def line_of(entry: Entry) -> str:
    """A line of an export."""
    fields: dict[str, Any] = {**_written("key", entry.key), **_written("value", entry.value)}
    if entry.expires is not None:
        fields["expires"] = entry.expires
    return json.dumps(fields, ensure_ascii=False)


def value_of(value: Any) -> bytes:
    """A text as it is, anything else as compact JSON."""
    if isinstance(value, str):
        return value.encode()
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _is_line(entry: dict[str, Any]) -> bool:
    keys = entry.keys()
    return keys <= {"key", "key64", "value", "value64", "expires"} and bool(keys & {"key", "key64"}) and len(keys) > 1


def _object(entry: Any) -> Iterator[Seed]:
    if not isinstance(entry, dict):
        raise ValueError(f"{json.dumps(entry)[:80]} is no object of keys and values")  # noqa: TRY004 - the file's fault
    yield from (Seed(key.encode(), value_of(value)) for key, value in entry.items())


def _line(entry: Any, number: int) -> Seed:
    if not isinstance(entry, dict) or not _is_line(entry):
        raise ValueError(f'line {number}: {json.dumps(entry)[:80]} is not {{"key": …, "value": …}}')
    expires = entry.get("expires")
    if expires is not None and (not isinstance(expires, int) or isinstance(expires, bool) or expires < 0):
        raise ValueError(f"line {number}: expires is {json.dumps(expires)[:80]}, and it takes milliseconds")
    return Seed(_read(entry, "key", number), _read(entry, "value", number), expires)


def _read(entry: dict[str, Any], name: str, number: int) -> bytes:
    if name in entry:
        return value_of(entry[name])
    try:
        return base64.b64decode(entry[f"{name}64"], validate=True)
    except (KeyError, TypeError, binascii.Error) as error:
        raise ValueError(f"line {number}: {name}64 is no base64") from error


def _written(name: str, data: bytes) -> dict[str, str]:
    try:
        return {name: data.decode()}
    except UnicodeDecodeError:
        return {f"{name}64": base64.b64encode(data).decode()}
