"""`messagePack`: through msgpack, an optional package."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.formats.base import Around, DocumentCodec
from flowrt.formats.extras import library
from flowrt.formats.options import MessagePackOptions

ITEMS_MAX = 2**17
"""Entries of one array or map: room is made for as many as a header promises, before any of them is read."""


class MessagePackCodec(DocumentCodec):
    """MessagePack at work."""

    def __init__(self, options: MessagePackOptions, around: Around) -> None:
        super().__init__(options, around, "application/vnd.msgpack")
        self._msgpack = library("msgpack")

    def load(self, payload: bytes) -> Sequence[Any]:
        try:
            return [
                self._msgpack.unpackb(
                    payload,
                    strict_map_key=False,
                    timestamp=3,
                    ext_hook=_refuse,
                    max_array_len=ITEMS_MAX,
                    max_map_len=ITEMS_MAX,
                )
            ]
        except (ValueError, TypeError, OverflowError, RecursionError, self._msgpack.UnpackException) as error:
            words = str(error) or "it is nested too deeply"
            raise NodeFault("format", f"the payload is not MessagePack: {words}") from None

    def dump(self, document: Any) -> bytes:
        try:
            return bytes(self._msgpack.packb(document))
        except (ValueError, TypeError, OverflowError) as error:
            raise NodeFault("format", f"the document cannot be written as MessagePack: {error}") from None


def _refuse(code: int, _data: bytes) -> Any:
    raise ValueError(f"it has an extension of type {code}, which has no form in JSON")
