"""Payloads and messages as test files write them, as bytes."""

from __future__ import annotations

import base64
import binascii
import struct
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from flowrt.graphtest.model import Content, Given
from flowrt.graphtest.trial import Arrival, TrialError
from flowrt.message import Head, Tensor
from flowrt.state.files import value_of

BYTES_MAX = 256 * 2**20
"""Of a payload, as `resources.message` has it, and of a file of lines."""
_FORMS = ("payload", "base64", "file", "tensors", "lines")


def as_payload(value: Any) -> bytes:
    """A text as it is, anything else as compact JSON."""
    return value_of(value)


def payload_of(content: Content, folder: Path) -> bytes | None:
    """The bytes, or None where none are given. Raises `TrialError`."""
    forms = [form for form in _FORMS if form in content.model_fields_set]
    if len(forms) > 1:
        raise TrialError(f"{' and '.join(forms)} are both given; keep one")
    match forms:
        case ["payload"]:
            return as_payload(content.payload)
        case ["base64"]:
            return _decoded(content.base64 or "")
        case ["file"]:
            return read(folder, content.file or "")
        case ["tensors"]:
            return b"".join(struct.pack(f"<{len(tensor)}f", *tensor) for tensor in (content.tensors or {}).values())
    return None


def head_of(content: Content, topic: str) -> Head:
    """What goes with the payload."""
    tensors = tuple(Tensor(name, "f32", (len(numbers),)) for name, numbers in (content.tensors or {}).items())
    return Head(topic, content.content_type, tuple(content.properties.items()), tensors=tensors)


def as_tensors(data: bytes, like: Mapping[str, Sequence[float]]) -> dict[str, list[float]] | None:
    """The numbers of a payload, by the names and sizes of `like`; None when it has another size."""
    if len(data) != 4 * sum(map(len, like.values())):
        return None
    numbers = iter(struct.unpack(f"<{len(data) // 4}f", data))
    return {name: list(islice(numbers, len(tensor))) for name, tensor in like.items()}


def arrivals(given: tuple[Given, ...], folder: Path) -> Iterator[Arrival]:
    """The messages that enter, in order. A message without `at` enters with the one before it. Raises `TrialError`."""
    at = 0
    for number, entry in enumerate(given, 1):
        place = f"message {number} of `in`"
        try:
            payloads = _payloads(entry, folder)
            stamp = None if entry.timestamp is None else _timestamp(entry.timestamp)
        except TrialError as error:
            raise TrialError(f"{place}: {error}") from error
        if entry.at is not None and round(entry.at * 1000) < at:
            raise TrialError(f"{place}: it enters before the one before it; put messages in the order of their time")
        at = at if entry.at is None else round(entry.at * 1000)
        head = head_of(entry, entry.topic or "").with_(timestamp=stamp)
        for index, payload in enumerate(payloads * entry.repeat):
            at += round(entry.every * 1000) if index else 0
            yield Arrival(at, payload, head, entry.source, place)


def _payloads(entry: Given, folder: Path) -> list[bytes]:
    if entry.lines is None:
        return [payload_of(entry, folder) or b""]
    payload_of(entry, folder)  # says what is given twice
    return [line for line in read(folder, entry.lines).splitlines() if line.strip()]


def read(folder: Path, name: str) -> bytes:
    """A file's bytes. Raises `TrialError`."""
    path = folder / name
    try:
        if path.stat().st_size > BYTES_MAX:
            raise TrialError(f"{path} has more than {BYTES_MAX} bytes")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise TrialError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}") from error


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise TrialError(f"base64: {error}") from error


def _timestamp(text: str) -> tuple[int, int, str]:
    milliseconds, _, rest = text.partition(":")
    counter, _, node = rest.partition(":")
    if not (milliseconds.isdecimal() and counter.isdecimal() and node) or len(milliseconds) + len(counter) > 30:
        raise TrialError(f"timestamp '{text}' is not MILLISECONDS:COUNTER:NODE, as 1767225600000:0:sensor")
    return int(milliseconds), int(counter), node
