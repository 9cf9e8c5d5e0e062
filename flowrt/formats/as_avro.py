"""`avro`: single records by a schema that the graph has, through fastavro, an optional package.

Object container files are for disks: they bring schemas of their own and are not read. Times stay the numbers that
travel; decimals become numbers.
"""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.formats.avro_schema import Coercion, coercion, sound
from flowrt.formats.base import Around, DocumentCodec, SchemaError
from flowrt.formats.extras import library
from flowrt.formats.options import AvroOptions

_SINGLE = b"\xc3\x01"
_CONFLUENT = struct.Struct(">BI")


class AvroCodec(DocumentCodec):
    """Avro at work. Raises `SchemaError` for a text that is no schema."""

    def __init__(self, options: AvroOptions, around: Around) -> None:
        super().__init__(options, around, "application/avro")
        text = around.schemas[options.schema_name][1]
        self._avro = library("fastavro")
        parsed = sound(_json(text))
        try:
            self._schema = self._avro.parse_schema(parsed)
            canonical = self._avro.schema.to_parsing_canonical_form(json.loads(text))
            mark = bytes.fromhex(self._avro.schema.fingerprint(canonical, "CRC-64-AVRO"))
        except (self._avro.schema.SchemaParseException, self._avro.schema.UnknownType, ValueError, TypeError) as error:
            raise SchemaError(f"it is no Avro schema: {error}") from None
        except (KeyError, AttributeError, RecursionError) as error:
            raise SchemaError(f"it is no Avro schema: {error!r}") from None
        self._coerced: Coercion = coercion(parsed, hexadecimal=options.binary == "hex")
        framings = {"none": b"", "singleObject": _SINGLE + mark, "confluent": _CONFLUENT.pack(0, options.schema_id)}
        self._frame = framings[options.framing]

    def load(self, payload: bytes) -> Sequence[Any]:
        if not payload.startswith(self._frame):
            found, wanted = payload[: len(self._frame)].hex(), self._frame.hex()
            raise NodeFault("format", f"the payload begins with {found or 'nothing'}, not with {wanted}")
        stream = io.BytesIO(payload)
        stream.seek(len(self._frame))
        try:
            value = self._avro.schemaless_reader(stream, self._schema)
        except (EOFError, IndexError, ValueError, OverflowError, ArithmeticError, TypeError, KeyError) as error:
            words = str(error) or "it ends too early"
            raise NodeFault("format", f"the payload is not this Avro record: {words}") from None
        if stream.tell() < len(payload):
            raise NodeFault("format", f"something follows the Avro record, from byte {stream.tell()} on")
        return [value]

    def dump(self, document: Any) -> bytes:
        stream = io.BytesIO(self._frame)
        stream.seek(len(self._frame))
        try:
            self._avro.schemaless_writer(stream, self._schema, self._coerced(document))
        except (ValueError, TypeError, OverflowError, ArithmeticError, KeyError, AttributeError, struct.error) as error:
            raise NodeFault("format", f"the document does not fit the Avro schema: {error}") from None
        return stream.getvalue()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"it is no Avro schema, which is JSON: {error}") from None
