"""Sparkplug B's payload, and its data types as Python's. Source: the Sparkplug 3.0 specification, chapter 6.

The message types are described here in a table, so that the package needs no generated code.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cache
from typing import Any

from flowrt.errors import NodeFault
from flowrt.formats.extras import library
from flowrt.formats.options import PROTOBUF

SEQUENCE_KEY = "bdSeq"
"""The metric that numbers an edge node's sessions."""
_U32, _U64, _FLOAT, _DOUBLE, _BOOL, _STRING, _BYTES = 13, 4, 2, 1, 8, 9, 12
_VALUES = f"int_value:{{0}}:{_U32} long_value:{{1}}:{_U64} float_value:{{2}}:{_FLOAT} double_value:{{3}}:{_DOUBLE} "
_VALUES += f"boolean_value:{{4}}:{_BOOL} string_value:{{5}}:{_STRING}"
_MESSAGES: dict[str, tuple[str, str]] = {
    "Payload": (f"timestamp:1:{_U64} metrics:2:Metric* seq:3:{_U64} uuid:4:{_STRING} body:5:{_BYTES}", ""),
    "Metric": (
        f"name:1:{_STRING} alias:2:{_U64} timestamp:3:{_U64} datatype:4:{_U32} is_historical:5:{_BOOL} "
        f"is_transient:6:{_BOOL} is_null:7:{_BOOL} properties:9:PropertySet",
        f"{_VALUES.format(10, 11, 12, 13, 14, 15)} bytes_value:16:{_BYTES} dataset_value:17:DataSet "
        "template_value:18:Template",
    ),
    "DataSet": (f"num_of_columns:1:{_U64} columns:2:{_STRING}* types:3:{_U32}* rows:4:Row*", ""),
    "Row": ("elements:1:DataSetValue*", ""),
    "DataSetValue": ("", _VALUES.format(1, 2, 3, 4, 5, 6)),
    "Template": (
        f"version:1:{_STRING} metrics:2:Metric* parameters:3:Parameter* template_ref:4:{_STRING} "
        f"is_definition:5:{_BOOL}",
        "",
    ),
    "Parameter": (f"name:1:{_STRING} type:2:{_U32}", _VALUES.format(3, 4, 5, 6, 7, 8)),
    "PropertySet": (f"keys:1:{_STRING}* values:2:PropertyValue*", ""),
    "PropertyValue": (
        f"type:1:{_U32} is_null:2:{_BOOL}",
        f"{_VALUES.format(3, 4, 5, 6, 7, 8)} propertyset_value:9:PropertySet",
    ),
}
"""By name: fields, and those of which one is set, each as `name:number:type`, with `*` where it is repeated."""
TYPES = (
    "Unknown", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float", "Double", "Boolean",
    "String", "DateTime", "Text", "UUID", "DataSet", "Bytes", "File", "Template", "PropertySet", "PropertySetList",
    "Int8Array", "Int16Array", "Int32Array", "Int64Array", "UInt8Array", "UInt16Array", "UInt32Array", "UInt64Array",
    "FloatArray", "DoubleArray", "BooleanArray", "StringArray", "DateTimeArray",
)  # fmt: skip
"""By number."""
NUMBERS = {name: number for number, name in enumerate(TYPES)}
_SIGNED = {"Int8": 8, "Int16": 16, "Int32": 32, "Int64": 64}
"""Bits of what travels as a number without sign."""
_FIELDS = {
    **dict.fromkeys(("Int8", "Int16", "Int32", "UInt8", "UInt16", "UInt32"), "int_value"),
    **dict.fromkeys(("Int64", "UInt64", "DateTime"), "long_value"),
    **dict.fromkeys(("String", "Text", "UUID"), "string_value"),
    **dict.fromkeys(("Bytes", "File"), "bytes_value"),
    "Float": "float_value", "Double": "double_value", "Boolean": "boolean_value",
}  # fmt: skip
_ARRAYS = {
    "Int8Array": "b", "Int16Array": "h", "Int32Array": "i", "Int64Array": "q", "UInt8Array": "B", "UInt16Array": "H",
    "UInt32Array": "I", "UInt64Array": "Q", "FloatArray": "f", "DoubleArray": "d", "DateTimeArray": "Q",
}  # fmt: skip


@cache
def payload_type() -> Any:
    """The class of Sparkplug's payload."""
    described = library(f"{PROTOBUF}.descriptor_pb2")
    file = described.FileDescriptorProto(name="sparkplug_b.proto", package="sparkplug", syntax="proto2")
    for name, (fields, choice) in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for text in fields.split():
            _field(message, text)
        if choice:
            message.oneof_decl.add(name="value")
            for text in choice.split():
                _field(message, text).oneof_index = 0
    pool = library(f"{PROTOBUF}.descriptor_pool").DescriptorPool()
    pool.Add(file)
    return library(f"{PROTOBUF}.message_factory").GetMessageClass(pool.FindMessageTypeByName("sparkplug.Payload"))


def _field(message: Any, text: str) -> Any:
    name, number, kind = text.split(":")
    label, kind = (3, kind[:-1]) if kind.endswith("*") else (1, kind)
    field = message.field.add(name=name, number=int(number), label=label)
    field.type = int(kind) if kind.isdigit() else 11
    if not kind.isdigit():
        field.type_name = f".sparkplug.{kind}"
    return field


def parsed(payload: bytes) -> Any:
    """The message in a payload. Raises `NodeFault`."""
    try:
        return payload_type().FromString(payload)
    except library(f"{PROTOBUF}.message").DecodeError as error:
        raise NodeFault("format", f"the payload is not Sparkplug B: {error}") from None


def value_of(holder: Any, type_: str) -> Any:
    """The value that a metric, property or element holds, as the type that it has."""
    which = holder.WhichOneof("value")
    if which is None:
        return None
    value = getattr(holder, which)
    if which == "dataset_value":
        return _rows(value)
    if which == "template_value":
        return {metric.name: value_of(metric, _name(metric.datatype)) for metric in value.metrics}
    if which == "propertyset_value":
        return properties_of(value)
    if type_ in _SIGNED and which in ("int_value", "long_value"):
        return _signed(value, _SIGNED[type_])
    return _array(value, type_) if which == "bytes_value" and type_.endswith("Array") else value


def _signed(value: int, bits: int) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _name(number: int) -> str:
    return TYPES[number] if number < len(TYPES) else "Unknown"


def type_of(number: int) -> str:
    """The type's name. Raises `NodeFault` for a number that is none."""
    if number < len(TYPES):
        return TYPES[number]
    raise NodeFault("format", f"the payload is not Sparkplug B: there is no data type {number}")


def properties_of(found: Any) -> dict[str, Any]:
    """A set of properties."""
    pairs = zip(found.keys, found.values, strict=False)
    return {key: None if value.is_null else value_of(value, _name(value.type)) for key, value in pairs}


def _rows(found: Any) -> list[dict[str, Any]]:
    """A data set as objects by column. Raises `NodeFault` where a row has another number of cells."""
    columns, types = list(found.columns), [_name(number) for number in found.types]
    if len(types) != len(columns) or any(len(row.elements) != len(columns) for row in found.rows):
        raise NodeFault("format", "the payload is not Sparkplug B: a data set's rows do not fit its columns")
    return [
        {column: value_of(cell, type_) for column, type_, cell in zip(columns, types, row.elements, strict=True)}
        for row in found.rows
    ]


def _array(packed: bytes, type_: str) -> list[Any]:
    """An array, packed in little endian. Raises `NodeFault` for bytes that are none."""
    if type_ in _ARRAYS:
        size = struct.calcsize(f"<{_ARRAYS[type_]}")
        if len(packed) % size:
            raise NodeFault("format", f"the payload is not Sparkplug B: {len(packed)} bytes are no {type_}")
        return list(struct.unpack(f"<{len(packed) // size}{_ARRAYS[type_]}", packed))
    if type_ == "BooleanArray":
        return list(_booleans(packed))
    texts = packed.split(b"\0")[:-1]
    try:
        return [text.decode() for text in texts]
    except UnicodeDecodeError:
        raise NodeFault("format", "the payload is not Sparkplug B: a StringArray is not UTF-8") from None


def _booleans(packed: bytes) -> Iterator[bool]:
    """A count of 32 bits and then the bits, the highest of a byte first."""
    count = int.from_bytes(packed[:4], "little")
    if len(packed) < 4 or len(packed) - 4 != (count + 7) // 8:
        raise NodeFault("format", f"the payload is not Sparkplug B: {len(packed)} bytes are no BooleanArray")
    return (bool(packed[4 + at // 8] >> (7 - at % 8) & 1) for at in range(count))


def put(holder: Any, type_: str, value: Any) -> None:
    """Write a value as a type. Raises `ValueError` or `TypeError` for what does not fit."""
    if type_ in _SIGNED:
        bits = _SIGNED[type_]
        if type(value) is not int or not -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            raise ValueError(f"{value!r:.60} is no {type_}")
        value &= (1 << max(bits, 32)) - 1
    if type_ in _ARRAYS:
        holder.bytes_value = struct.pack(f"<{len(value)}{_ARRAYS[type_]}", *value)
    elif type_ == "StringArray":
        holder.bytes_value = b"".join(text.encode() + b"\0" for text in value)
    elif type_ == "BooleanArray":
        flags = "".join("1" if each is True else "0" for each in value)
        holder.bytes_value = len(flags).to_bytes(4, "little") + bytes(
            int(flags[at : at + 8].ljust(8, "0"), 2) for at in range(0, len(flags), 8)
        )
    elif type_ in _FIELDS:
        setattr(holder, _FIELDS[type_], value)
    else:
        raise ValueError(f"values of type {type_} are not written; write one of {', '.join([*_FIELDS, *_ARRAYS])}")
