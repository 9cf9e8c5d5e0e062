"""What a component's `process` gave: a message, or its own words."""

from __future__ import annotations

from collections.abc import Callable

from flowrt.logicaltime.stamps import logical, with_stamp
from flowrt.message import Head
from flowrt.wasm.component import values
from flowrt.wasm.component.pictures import Picture, as_tensors, picture_of
from flowrt.wasm.component.sending import Sent, Timestamp
from flowrt.wasm.imports import TEXT_MAX

_PROPERTIES_MAX = 1024
_SECONDS_MAX = 2**48
_TEXT_MAX = 65535
"""Bytes of a topic, a property or a schema reference: what MQTT carries."""
_REMEMBERED = 4096
_REMEMBERED_BYTES = 2048

Take = Callable[[int], bytes]
"""Gives what the buffer behind a resource held, and takes the buffer back."""


class Refused(Exception):
    """Nothing can go on from this message. The words are the guest's (`error`), or ours about what it gave: `abi` for
    what its interface does not allow, `size` for what is too large."""

    def __init__(self, words: str, kind: str = "abi") -> None:
        super().__init__(words)
        self.kind = kind


class Receiver:
    """Reads results. `take` is asked for the payloads that the guest gives back unread."""

    def __init__(self, take: Take, message_max: int, *, bare: bool = False) -> None:
        """`bare`: results are values, not values or errors."""
        self._bare = bare
        self._take = take
        self._message_max = message_max
        self._made: dict[tuple[tuple[object, ...], Head], Head] = {}
        self._kept: dict[Head, Head] = {}

    def verdict(self, result: bytes) -> bool:
        """Of `filter` and `branch`. Raises `Refused`."""
        return values.as_bool(self._ok(result))

    def clock(self, result: bytes) -> int:
        """Of `delay`: a logical time. Raises `Refused`."""
        seconds, counter, _ = values.as_fields(self._ok(result))
        secs, nanos = map(values.as_int, values.as_fields(seconds))
        if secs > _SECONDS_MAX:
            raise Refused(f"it gave a timestamp of {secs} seconds")
        return logical(secs * 1000 + nanos // 1_000_000, values.as_int(counter))

    def message(self, result: bytes, head: Head, sent: Sent) -> tuple[Head, bytes]:
        """Of `map`; an output that is bytes alone keeps its input's head. Raises `Refused`."""
        case, model = values.as_case(self._ok(result))
        if case == b"snapshot":
            return self._snapshot(model, head)
        if case == b"buffer-or-bytes":
            return self._keep(head), self._sized(self._bytes(model))
        timestamp, topic, content_type, payload, properties, schema = values.as_fields(model)
        given = Sent(
            self._timestamp(timestamp),
            self._bytes(topic),
            self._optional(content_type),
            self._properties(values.as_fields(properties)[0]),
            self._schema(values.as_option(schema)),
        )
        data = self._sized(self._bytes(payload))
        same = given == sent and picture_of(head) is None
        return self._keep(head) if same else self._make(given, head, sent), data

    def _snapshot(self, model: bytes, head: Head) -> tuple[Head, bytes]:
        """A picture: a head of its own for each, since each has a time of its own."""
        timestamp, form, width, height, frame = values.as_fields(model)
        stamp = self._timestamp(timestamp)
        picture = Picture(self._text(form), values.as_int(width), values.as_int(height))
        data = self._sized(self._bytes(frame))
        tensors = as_tensors(picture, len(data))
        if tensors == head.tensors and head.timestamp in {None, stamp}:
            return head, data
        return head.with_(tensors=tensors, content_type=None, timestamp=head.timestamp and stamp), data

    def _ok(self, result: bytes) -> bytes:
        if self._bare:
            return result
        ok, payload = values.as_result(result)
        if not ok:
            raise Refused(values.as_text(values.as_fields(payload)[0], TEXT_MAX) or "no reason given", "error")
        return payload

    def _sized(self, payload: bytes) -> bytes:
        if len(payload) > self._message_max:
            words = f"it made a payload of {len(payload)} bytes; the node makes at most {self._message_max}"
            raise Refused(words, "size")
        return payload

    def _timestamp(self, value: bytes) -> Timestamp:
        seconds, counter, node = values.as_fields(value)
        secs, nanos = map(values.as_int, values.as_fields(seconds))
        if secs > _SECONDS_MAX:
            raise Refused(f"it gave a timestamp of {secs} seconds")
        return secs * 1000 + nanos // 1_000_000, values.as_int(counter), self._text(node)

    def _optional(self, value: bytes) -> str | None:
        found = values.as_option(value)
        return None if found is None else self._text(found)

    def _properties(self, value: bytes) -> tuple[tuple[str, str], ...]:
        if values.length(value) > _PROPERTIES_MAX:
            raise Refused(f"it gave {values.length(value)} user properties; {_PROPERTIES_MAX} are the most")
        pairs = map(values.as_items, values.as_items(value))
        return tuple((self._text(key), self._text(text)) for key, text in pairs)

    def _schema(self, value: bytes | None) -> str | None:
        """A reference as it stands; of an inline schema, its name."""
        if value is None:
            return None
        case, inner = values.as_case(value)
        return self._text(inner if case == b"registry-reference" else values.as_fields(inner)[0])

    def _bytes(self, value: bytes) -> bytes:
        """A `buffer-or-bytes`."""
        case, inner = values.as_case(value)
        return self._take(values.as_resource(inner)) if case == b"buffer" else values.as_bytes(inner)

    def _text(self, value: bytes) -> str:
        """A `buffer-or-string`."""
        case, inner = values.as_case(value)
        data = self._take(values.as_resource(inner)) if case == b"buffer" else values.as_data(inner, _TEXT_MAX + 1)
        if len(data) > _TEXT_MAX:
            raise Refused(f"it gave a text of more than {_TEXT_MAX} bytes")
        return _utf8(data, "text")

    def _keep(self, head: Head) -> Head:
        """The head of an output: what it holds is not what the tensors of the input say."""
        if not head.tensors:
            return head
        kept = self._kept.get(head)
        if kept is None:
            kept = head.with_(tensors=())
            if len(self._kept) >= _REMEMBERED:
                self._kept.clear()
            self._kept[head] = kept
        return kept

    def _make(self, given: Sent, head: Head, sent: Sent) -> Head:
        """The head of an output that differs from its input's, made once for the same texts."""
        if given.timestamp != sent.timestamp:
            return _changed(given, head, given.timestamp)
        key = (given[1:], head)
        made = self._made.get(key)
        if made is None:
            made = _changed(given, head, head.timestamp)
            texts = sum(len(name) + len(text) for name, text in given.properties)
            if len(given.topic) + texts <= _REMEMBERED_BYTES:
                if len(self._made) >= _REMEMBERED:
                    self._made.clear()
                self._made[key] = made
        return made


def _changed(given: Sent, head: Head, timestamp: Timestamp | None) -> Head:
    """A head with what the guest gave; a clock that it set is written where the next reader looks for it."""
    properties = given.properties
    if timestamp is not None and timestamp != head.timestamp:
        properties = with_stamp(properties, timestamp)
    if len(given.topic) > _TEXT_MAX:
        raise Refused(f"it gave a topic of {len(given.topic)} bytes; {_TEXT_MAX} are the most")
    return head.with_(
        topic=_utf8(given.topic, "topic"),
        content_type=given.content_type,
        properties=properties,
        schema=given.schema,
        timestamp=timestamp,
        tensors=(),
    )


def _utf8(data: bytes, what: str) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"it gave a {what} that is not UTF-8") from error
