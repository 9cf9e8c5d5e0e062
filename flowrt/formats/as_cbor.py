"""`cbor`: through cbor2, an optional package."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.formats.base import Around, DocumentCodec
from flowrt.formats.extras import library
from flowrt.formats.options import CborOptions
from flowrt.formats.to_json import DEPTH_MAX

READ_BYTES = 2**16
REFUSED = (25, 28, 29, 256, 35, 36)
"""Tags that are not read: references, by which a few bytes stand for very many, patterns and mails."""


class CborCodec(DocumentCodec):
    """CBOR at work."""

    def __init__(self, options: CborOptions, around: Around) -> None:
        super().__init__(options, around, "application/cbor")
        self._cbor = library("cbor2")
        self._refused = dict.fromkeys(REFUSED, _refuse)

    def load(self, payload: bytes) -> Sequence[Any]:
        stream = io.BytesIO(payload)
        try:
            decoder = self._cbor.CBORDecoder(
                stream, semantic_decoders=self._refused, max_depth=DEPTH_MAX, read_size=READ_BYTES
            )
            value = decoder.decode()
        except (self._cbor.CBORError, ValueError, TypeError, OverflowError, ArithmeticError, RecursionError) as error:
            words = f"{error}{f': {error.__cause__}' if error.__cause__ else ''}"
            raise NodeFault("format", f"the payload is not CBOR, or what has no form in JSON: {words}") from None
        if stream.tell() < len(payload):
            raise NodeFault("format", f"the payload is not CBOR: something follows, from byte {stream.tell()} on")
        return [self._simple(value)]

    def _simple(self, value: Any) -> Any:
        """CBOR's own values as JSON's: `undefined` as null, what a tag that is not known stands before."""
        if isinstance(value, dict):
            return {key: self._simple(inner) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._simple(inner) for inner in value]
        if value is self._cbor.undefined:
            return None
        if isinstance(value, self._cbor.CBORTag):
            return self._simple(value.value)
        return value.value if isinstance(value, self._cbor.CBORSimpleValue) else value

    def dump(self, document: Any) -> bytes:
        try:
            return bytes(self._cbor.dumps(document))
        except (self._cbor.CBORError, ValueError, TypeError, RecursionError) as error:
            raise NodeFault("format", f"the document cannot be written as CBOR: {error}") from None


def _refuse(*_: Any) -> Any:
    raise ValueError("such a tag is not read")
