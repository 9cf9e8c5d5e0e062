"""From a format's options to its codec, which is loaded then."""

from __future__ import annotations

from importlib import import_module

from flowrt.formats.base import Around, Codec
from flowrt.formats.options import (
    AvroOptions,
    CborOptions,
    CsvOptions,
    FormatOptions,
    GzipOptions,
    JsonOptions,
    MessagePackOptions,
    OpcUaOptions,
    ProtobufOptions,
    SparkplugOptions,
    ZstdOptions,
)

CODECS: dict[type[FormatOptions], tuple[str, str]] = {
    JsonOptions: ("flowrt.formats.as_json", "JsonCodec"),
    CsvOptions: ("flowrt.formats.as_csv", "CsvCodec"),
    MessagePackOptions: ("flowrt.formats.as_messagepack", "MessagePackCodec"),
    CborOptions: ("flowrt.formats.as_cbor", "CborCodec"),
    ProtobufOptions: ("flowrt.formats.as_protobuf", "ProtobufCodec"),
    AvroOptions: ("flowrt.formats.as_avro", "AvroCodec"),
    SparkplugOptions: ("flowrt.formats.as_sparkplug", "SparkplugCodec"),
    OpcUaOptions: ("flowrt.formats.as_opcua", "OpcUaCodec"),
    GzipOptions: ("flowrt.formats.as_gzip", "GzipCodec"),
    ZstdOptions: ("flowrt.formats.as_zstd", "ZstdCodec"),
}
"""By options: the file and the class, each in a file of its own."""


def codec_of(options: FormatOptions, around: Around) -> Codec:
    """The format at work. Raises `MissingExtra`, and `SchemaError` for a schema that is none."""
    module, name = CODECS[type(options)]
    made: Codec = getattr(import_module(module), name)(options, around)
    return made
