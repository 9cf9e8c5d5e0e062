"""`opcua`: OPC UA over MQTT in its JSON form (part 14 of the standard), and what AIO's connector makes of it.

A network message holds data set messages, each with fields. A field is a value, a variant (`Type` and `Body`, later
`UaType` and `Value`) or a data value (`Value` with a status and times). Without the envelope an object of fields is
taken as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.formats.base import JSON_TYPE, Around, DocumentCodec
from flowrt.formats.options import OpcUaOptions
from flowrt.transforms.documents import decode as decode_json
from flowrt.transforms.documents import encode as encode_json

_DATA = "ua-data"
_STATUS = ("StatusCode", "Status")
_DATA_VALUE = {
    "Value", "UaType", *_STATUS, "SourceTimestamp", "SourcePicoseconds", "ServerTimestamp", "ServerPicoseconds",
}  # fmt: skip
_VARIANTS = ({"Type", "Body"}, {"Type", "Body", "Dimensions"}, {"UaType", "Value"}, {"UaType", "Value", "Dimensions"})
_ENVELOPE = (("PublisherId", "publisher"), ("WriterGroupName", "group"))
_HEADER = (
    ("DataSetWriterId", "writer"), ("DataSetWriterName", "writerName"), ("SequenceNumber", "sequence"),
    ("Timestamp", "timestamp"), ("Status", "status"), ("MessageType", "kind"),
)  # fmt: skip
"""Names in the standard and in the documents."""


class OpcUaCodec(DocumentCodec):
    """OPC UA at work."""

    def __init__(self, options: OpcUaOptions, around: Around) -> None:
        super().__init__(options, around, JSON_TYPE)
        self._full = options.values == "full"
        self._publisher = options.publisher
        self._written = 0

    def load(self, payload: bytes) -> Sequence[Any]:
        document = decode_json(payload)
        found = document if type(document) is list else [document]
        if not all(type(each) is dict for each in found):
            raise NodeFault("format", "the payload is no OPC UA message: it is no JSON object")
        return [made for each in found for made in self._network(each)]

    def _network(self, message: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if message.get("MessageType", _DATA) != _DATA and "Payload" not in message:
            return
        if "Messages" not in message:
            yield from self._data_set(message if "Payload" in message else {"Payload": message}, {})
            return
        inner = message["Messages"]
        envelope = {ours: message[theirs] for theirs, ours in _ENVELOPE if theirs in message}
        for each in inner if type(inner) is list else [inner]:
            if type(each) is not dict:
                raise NodeFault("format", "the payload is no OPC UA message: Messages holds what is no object")
            yield from self._data_set(each if "Payload" in each else {"Payload": each}, envelope)

    def _data_set(self, message: dict[str, Any], envelope: dict[str, Any]) -> Iterator[dict[str, Any]]:
        fields = message["Payload"]
        if type(fields) is not dict:
            raise NodeFault("format", "the payload is no OPC UA message: a Payload is no object")
        if message.get("MessageType") == "ua-keepalive":
            return
        header = {ours: message[theirs] for theirs, ours in _HEADER if theirs in message}
        header = {ours: value for ours, value in header.items() if ours != "kind" or value != _DATA}
        yield {**envelope, **header, "values": {name: self._field(value) for name, value in fields.items()}}

    def _field(self, field: Any) -> Any:
        if type(field) is not dict:
            return {"value": field} if self._full else field
        keys = field.keys()
        if set(keys) in _VARIANTS:
            value = _variant(field)
            return {"value": value} if self._full else value
        if not (keys <= _DATA_VALUE and "Value" in keys):
            return {"value": field} if self._full else field
        value = _variant(field["Value"])
        if not self._full:
            return value
        status = next((field[key] for key in _STATUS if key in field), None)
        found = {"value": value, "status": status, "timestamp": field.get("SourceTimestamp")}
        return {key: inner for key, inner in found.items() if inner is not None or key == "value"}

    def dump(self, document: Any) -> bytes:
        if type(document) is not dict:
            raise NodeFault("format", "an OPC UA message is written of an object")
        values = document.get("values", document)
        if type(values) is not dict:
            raise NodeFault("format", "an OPC UA message is written of an object whose `values` are an object")
        self._written += 1
        header = {theirs: document[ours] for theirs, ours in _HEADER if ours in document and document is not values}
        publisher = self._publisher if document is values else document.get("publisher", self._publisher)
        message = {
            "MessageId": f"{publisher}-{self._written}",
            "MessageType": _DATA,
            "PublisherId": publisher,
            "Messages": [{**header, "Payload": {name: self._as_field(value) for name, value in values.items()}}],
        }
        return encode_json(message)

    def _as_field(self, value: Any) -> Any:
        if not self._full or type(value) is not dict or "value" not in value:
            return value
        names = {"value": "Value", "status": "StatusCode", "timestamp": "SourceTimestamp"}
        return {names[key]: inner for key, inner in value.items() if key in names}


def _variant(value: Any) -> Any:
    """The value in a variant, in either of its forms; what is none stays as it is."""
    if type(value) is dict and set(value) in _VARIANTS:
        return value["Body"] if "Body" in value else value["Value"]
    return value
