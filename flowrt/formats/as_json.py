"""`json`: checked, taken apart, written compactly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.formats.base import JSON_TYPE, Around, DocumentCodec
from flowrt.formats.options import JsonOptions
from flowrt.transforms.documents import decode as decode_json
from flowrt.transforms.documents import encode as encode_json

LINES_TYPE = "application/x-ndjson"


class JsonCodec(DocumentCodec):
    """JSON at work."""

    def __init__(self, options: JsonOptions, around: Around) -> None:
        super().__init__(options, around, LINES_TYPE if options.lines else JSON_TYPE)
        self._options = options

    def load(self, payload: bytes) -> Sequence[Any]:
        if self._options.lines:
            return [decode_json(line) for line in payload.splitlines() if line.strip()]
        document = decode_json(payload)
        return document if self._options.split and type(document) is list else [document]

    def dump(self, document: Any) -> bytes:
        if self._options.lines:
            return b"".join(encode_json(line) + b"\n" for line in (document if type(document) is list else [document]))
        if self._options.indent:
            try:
                return json.dumps(document, ensure_ascii=False, allow_nan=False, indent=self._options.indent).encode()
            except (UnicodeEncodeError, RecursionError):
                raise NodeFault("format", "the document holds what is no text, or is nested too deeply") from None
        return encode_json(document)
