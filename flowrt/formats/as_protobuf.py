"""`protobuf`: messages by a descriptor set, through protobuf, an optional package.

Fields have the names of the .proto file, 64-bit integers are numbers, enumerations their names, bytes base64, and
Google's well-known types what JSON has for them.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.formats.base import Around, DocumentCodec, SchemaError
from flowrt.formats.extras import library
from flowrt.formats.options import PROTOBUF, ProtobufOptions
from flowrt.formats.to_json import DEPTH_MAX


class ProtobufCodec(DocumentCodec):
    """Protocol Buffers at work. Raises `SchemaError` for a text that is no descriptor set or lacks the message."""

    def __init__(self, options: ProtobufOptions, around: Around) -> None:
        super().__init__(options, around, "application/x-protobuf")
        self._json = library(f"{PROTOBUF}.json_format")
        self._errors = library(f"{PROTOBUF}.message")
        self._defaults = options.defaults
        self._message = self._message_type(options.message, around.schemas[options.schema_name][1])
        self._made = library(f"{PROTOBUF}.message_factory").GetMessageClass(self._message)

    def _message_type(self, name: str, text: str) -> Any:
        set_type = library(f"{PROTOBUF}.descriptor_pb2").FileDescriptorSet
        pool = library(f"{PROTOBUF}.descriptor_pool").DescriptorPool()
        try:
            files = set_type.FromString(base64.b64decode(text, validate=True)).file
            for file in files:
                pool.Add(file)
            return pool.FindMessageTypeByName(name)
        except (binascii.Error, self._errors.DecodeError) as error:
            raise SchemaError(f"it is no descriptor set: {error}") from None
        except KeyError:
            known = ", ".join(f"{file.package}.{each.name}".lstrip(".") for file in files for each in file.message_type)
            raise SchemaError(f"it has no message '{name}'; it has {known or 'none'}") from None
        except (TypeError, ValueError) as error:
            raise SchemaError(f"it is no whole descriptor set: {error}; use protoc --include_imports") from None

    def load(self, payload: bytes) -> Sequence[Any]:
        try:
            return [self._document(self._made.FromString(payload))]
        except (self._errors.DecodeError, self._json.Error, ValueError, TypeError) as error:
            raise NodeFault("format", f"the payload is not {self._message.full_name}: {error}") from None

    def _document(self, message: Any) -> Any:
        if message.DESCRIPTOR.full_name.startswith("google.protobuf."):
            return self._json.MessageToDict(message)
        found = {field.name: self._field(field, value) for field, value in message.ListFields()}
        if self._defaults:
            for field in message.DESCRIPTOR.fields:
                if not field.has_presence and field.name not in found:
                    found[field.name] = self._field(field, getattr(message, field.name))
        return found

    def _field(self, field: Any, value: Any) -> Any:
        if _is_map(field):
            of = field.message_type.fields_by_name["value"]
            return {key: self._one(of, value[key]) for key in value}
        return [self._one(field, each) for each in value] if field.is_repeated else self._one(field, value)

    def _one(self, field: Any, value: Any) -> Any:
        if field.message_type is not None:
            return self._document(value)
        if field.enum_type is not None:
            named = field.enum_type.values_by_number.get(value)
            return value if named is None else named.name
        return value

    def dump(self, document: Any) -> bytes:
        if type(document) is not dict:
            raise NodeFault("format", f"{self._message.full_name} is written of an object")
        try:
            made = self._json.ParseDict(document, self._made(), max_recursion_depth=DEPTH_MAX)
            return bytes(made.SerializeToString(deterministic=True))
        except (self._json.Error, self._errors.EncodeError, ValueError, TypeError) as error:
            raise NodeFault("format", f"the document does not fit {self._message.full_name}: {error}") from None


def _is_map(field: Any) -> bool:
    return bool(field.is_repeated and field.message_type is not None and field.message_type.GetOptions().map_entry)
