"""The optional packages that formats need: imported when a graph uses them, named when they are not there."""

from __future__ import annotations

import importlib
import importlib.util
from types import ModuleType

from flowrt.errors import MissingExtra
from flowrt.formats.options import PROTOBUF, ZSTD

LIBRARIES: dict[str, tuple[str, str]] = {
    "jsonschema_rs": ("JSON Schema", "schema"),
    "msgpack": ("MessagePack", "formats"),
    "cbor2": ("CBOR", "formats"),
    "fastavro": ("Avro", "formats"),
    PROTOBUF: ("Protocol Buffers", "formats"),
    ZSTD: ("zstd", "formats"),
}
"""Module to import to what needs it and the extra that has it."""


def library(name: str) -> ModuleType:
    """The module. Raises `MissingExtra`."""
    try:
        return importlib.import_module(name)
    except ImportError:
        what, extra = next(found for known, found in LIBRARIES.items() if name == known or name.startswith(f"{known}."))
        raise MissingExtra(what, extra) from None


def installed(name: str) -> bool:
    """Whether it can be imported, without importing it."""
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False
