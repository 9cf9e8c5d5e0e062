"""What users write about each format. The codecs are loaded when a graph has one: `registry.codec_of`."""

from __future__ import annotations

import sys
from typing import ClassVar, Literal

from flowrt.options import Field, Options
from flowrt.quota.quantity import Seconds

PROTOBUF = "google.protobuf"
ZSTD = "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd"


class FormatOptions(Options):
    """What every format has."""

    libraries: ClassVar[tuple[str, ...]] = ()
    """Optional modules that it imports."""

    @property
    def schema_names(self) -> tuple[str, ...]:
        """The graph's schemas that it names."""
        return ()

    @property
    def across_topics(self) -> str | None:
        """What makes messages of one topic count for another's, in words; None where nothing does."""
        return None


class ValueOptions(FormatOptions):
    """What formats have that carry more than JSON can."""

    binary: Literal["base64", "hex"] = "base64"
    """How bytes are written in JSON."""
    non_finite: Literal["fault", "null"] = "fault"
    """What becomes of NaN and infinities, which JSON has not."""


class SchemaOptions(ValueOptions):
    """What formats have whose messages say nothing of their own structure."""

    schema_name: str = Field(alias="schema", min_length=1, max_length=256)
    """A name from the graph's `schemas`."""

    @property
    def schema_names(self) -> tuple[str, ...]:
        return (self.schema_name,)


class JsonOptions(FormatOptions):
    """JSON: `decode` checks it, takes arrays and lines apart; `encode` writes it compactly or for people."""

    split: bool = False
    """`decode` makes one message of each entry of an array."""
    lines: bool = False
    """One document a line (NDJSON): `decode` makes a message of each, `encode` writes an array so."""
    indent: int = 0
    """`encode` indents by so many spaces; 0 writes one line."""


class CsvOptions(FormatOptions):
    """CSV: `decode` makes an object of each row, `encode` a row of each object."""

    header: bool = True
    """Whether the first row names the columns; `encode` writes such a row."""
    columns: tuple[str, ...] = Field((), max_length=4096)
    """Names of the columns, where no header names them; for `encode` those to write. Unset: a header, or the first
    object's fields."""
    delimiter: str = Field(",", min_length=1, max_length=1)
    """Between cells."""
    numbers: bool = True
    """`decode` reads numbers, `true` and `false` as such and an empty cell as null; otherwise all is text."""
    rows: Literal["messages", "array"] = "messages"
    """`decode` makes one message a row, or one array of all."""


class MessagePackOptions(ValueOptions):
    """MessagePack."""

    libraries: ClassVar[tuple[str, ...]] = ("msgpack",)


class CborOptions(ValueOptions):
    """CBOR. References within a payload, patterns and mails are refused; of other unknown tags the content counts."""

    libraries: ClassVar[tuple[str, ...]] = ("cbor2",)


class ProtobufOptions(FormatOptions):
    """Protocol Buffers, by a schema of format `Protobuf`: a descriptor set that
    `protoc --include_imports --descriptor_set_out=FILE` writes."""

    libraries: ClassVar[tuple[str, ...]] = (PROTOBUF,)
    schema_name: str = Field(alias="schema", min_length=1, max_length=256)
    """A name from the graph's `schemas`."""
    message: str = Field(min_length=1, max_length=512)
    """The message's type with its package, as `plant.v1.Reading`."""
    defaults: bool = True
    """`decode` writes fields that are not set, and cannot tell so, with their default."""
    non_finite: Literal["fault", "null"] = "fault"
    """What becomes of NaN and infinities, which JSON has not."""

    @property
    def schema_names(self) -> tuple[str, ...]:
        return (self.schema_name,)


class AvroOptions(SchemaOptions):
    """Avro, one record a message, by a schema of format `Avro`. Schemas that contain themselves are refused, and arrays
    of what takes no bytes: a message could name millions of them in a few bytes."""

    libraries: ClassVar[tuple[str, ...]] = ("fastavro",)
    framing: Literal["none", "singleObject", "confluent"] = "none"
    """What stands before the record: nothing, the schema's fingerprint (Avro's single-object encoding), or a zero and
    the number of a schema in a registry."""
    schema_id: int = Field(0, ge=0, lt=2**32)
    """With `confluent`: the number that messages must have, and that `encode` writes."""


class SparkplugOptions(ValueOptions):
    """Sparkplug B. `decode` needs the message's topic; `encode` writes a payload of a document with a list of metrics,
    and leaves sessions, births and numbers to whoever makes it."""

    libraries: ClassVar[tuple[str, ...]] = (PROTOBUF,)
    metrics: Literal["values", "list"] = "values"
    """`values` gives an object of each metric's value by its name, `list` all that is known of each."""
    rebirth: bool = False
    """`decode` has two arms: `"False"` for what is decoded, `"True"` for requests that are to be published as they are,
    to the topics that they have."""
    rebirth_interval: Seconds = 10.0
    """An edge node is asked no more often than so."""

    @property
    def across_topics(self) -> str | None:
        return "births explain the data that comes by other topics"


class OpcUaOptions(FormatOptions):
    """OPC UA over MQTT, JSON form. `decode` makes a message of each data set message and leaves out those that carry no
    data (metadata, status); `encode` writes a network message of one."""

    values: Literal["plain", "full"] = "plain"
    """`plain` gives a field's value, `full` an object of its `value`, `status` and `timestamp`."""
    publisher: str = Field("flowrt", min_length=1, max_length=256)
    """The `PublisherId` that `encode` writes where the document has none."""


class GzipOptions(FormatOptions):
    """gzip, of one or several members. What a payload unfolds to is bounded by `resources.message`."""

    level: int = Field(6, ge=0, le=9)
    """How hard `encode` tries, 9 the most."""


class ZstdOptions(FormatOptions):
    """Zstandard, of one or several frames. What a payload unfolds to is bounded by `resources.message`, the window of a
    frame by 8 MiB."""

    libraries: ClassVar[tuple[str, ...]] = (ZSTD,)
    level: int = Field(3, ge=1, le=19)
    """How hard `encode` tries, 19 the most."""


FORMATS: dict[str, type[FormatOptions]] = {
    "json": JsonOptions,
    "csv": CsvOptions,
    "messagePack": MessagePackOptions,
    "cbor": CborOptions,
    "protobuf": ProtobufOptions,
    "avro": AvroOptions,
    "sparkplug": SparkplugOptions,
    "opcua": OpcUaOptions,
    "gzip": GzipOptions,
    "zstd": ZstdOptions,
}
"""By the key that `decode` and `encode` take."""
