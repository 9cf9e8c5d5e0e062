"""Models and parameters that a module carries with it, as AIO's operators carry theirs: in a section of the file.

A module that loads a model by name then needs nothing of its graph, and graphs made for AIO name no model. The custom
section `flowrt:embedded` has four bytes of length, little-endian, then JSON of that length, then the models one after
the other:

    {"models": [{"name": "mobilenet", "encoding": "onnx", "size": 13964571}], "parameters": {"labels": "tench"}}

Inference engines read files, so a model is brought to one in the cache folder, named by its digest.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from flowrt.graph.facts import EmbeddedModel
from flowrt.options import Field, Options
from flowrt.values import Struct

SECTION = "flowrt:embedded"
_LENGTH = 4
_CUSTOM = 0


class _Model(Options):
    name: str = Field(min_length=1, max_length=256)
    encoding: str = Field(min_length=1, max_length=32)
    size: int = Field(ge=0)


class _Contents(Options):
    models: tuple[_Model, ...] = Field((), max_length=64)
    parameters: dict[str, str] = Field(default_factory=dict)


class Given(Struct, frozen=True):
    """A model to embed."""

    name: str
    encoding: str
    data: bytes


class EmbeddedError(ValueError):
    """A section that is not what it must be; the words are for the user."""


def embed(code: bytes, models: Sequence[Given], parameters: Mapping[str, str]) -> bytes:
    """The module with such a section behind what it has. The same input gives the same bytes."""
    listed = [_Model(name=model.name, encoding=model.encoding, size=len(model.data)) for model in models]
    head = _Contents(models=tuple(listed), parameters=dict(parameters)).model_dump_json().encode()
    name = SECTION.encode()
    size = 1 + len(name) + _LENGTH + len(head) + sum(model.size for model in listed)
    parts = [bytes([_CUSTOM]), _leb(size), bytes([len(name)]), name, len(head).to_bytes(_LENGTH, "little"), head]
    return b"".join([code, *parts, *(model.data for model in models)])


def read(section: memoryview) -> tuple[list[Given], dict[str, str]]:
    """What is in a section, behind its name. Raises `EmbeddedError`."""
    length = int.from_bytes(section[:_LENGTH], "little")
    from pydantic import ValidationError  # few modules carry anything

    try:
        contents = _Contents.model_validate_json(bytes(section[_LENGTH : _LENGTH + length]))
    except ValidationError as error:
        raise EmbeddedError(f"its section '{SECTION}' has no readable list of contents") from error
    models, at = [], _LENGTH + length
    for model in contents.models:
        models.append(Given(model.name, model.encoding, bytes(section[at : at + model.size])))
        at += model.size
    if at != len(section):
        raise EmbeddedError(f"its section '{SECTION}' has {len(section)} bytes, and its contents {at}")
    return models, contents.parameters


def as_files(models: Iterable[Given], folder: Path | None) -> Iterator[EmbeddedModel]:
    """Each model with the file that holds it. Raises `EmbeddedError` where there is no folder to keep it in."""
    for model in models:
        digest = hashlib.sha256(model.data).hexdigest()
        if folder is None:
            raise EmbeddedError(f"its model '{model.name}' needs a cache folder: set CACHE_DIRECTORY or HOME")
        path = folder / "embedded" / f"{digest}.{model.encoding}"
        try:
            if not path.is_file() or path.stat().st_size != len(model.data):
                _write(path, model.data)
        except OSError as error:
            raise EmbeddedError(
                f"its model '{model.name}' cannot be kept in {path.parent}: {error.strerror}"
            ) from error
        yield EmbeddedModel(model.name, model.encoding, str(path))


def _write(path: Path, data: bytes) -> None:
    """In one step: two processes may start at once."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    Path(temporary).rename(path)


def _leb(number: int) -> bytes:
    made = bytearray()
    while True:
        number, low = number >> 7, number & 0x7F
        made.append(low | (0x80 if number else 0))
        if not number:
            return bytes(made)
