"""What a codec is: one format at work.

A graph's common tongue is JSON, because rules, modules and people read it: `decode` makes JSON of another format and
`encode` another format of JSON. A payload that is not what it should be is a `NodeFault`, never another exception.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Protocol

from flowrt.formats.options import FormatOptions, ValueOptions
from flowrt.formats.to_json import Plain
from flowrt.message import Head
from flowrt.transforms.documents import decode as decode_json
from flowrt.transforms.heads import HeadWriter
from flowrt.values import Struct, field

JSON_TYPE = "application/json"
Made = Sequence[tuple[bytes, Head]]
"""The messages that one became."""


class SchemaError(ValueError):
    """A text is no such schema; the words say why and what to do."""


class Around(Struct, frozen=True):
    """What a codec works within."""

    limit: int = 16 * 2**20
    """Bytes that may be made of one payload: `resources.message`."""
    schemas: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """The graph's schemas that it names: format and text."""
    clock: Callable[[], float] = monotonic
    """Seconds; never goes back."""


class Codec(Protocol):
    """One format at work. Used by one thread; it may remember what came before."""

    def decode(self, payload: bytes, head: Head) -> Made:
        """From the format. Raises `NodeFault`."""

    def encode(self, payload: bytes, head: Head) -> Made:
        """To the format. Raises `NodeFault`."""

    def requests(self) -> Made:
        """What is to be asked of the other side since the last call; most formats ask nothing."""


class WritingCodec(ABC):
    """What codecs share that make their format of a JSON document."""

    def __init__(self, options: FormatOptions, around: Around, content_type: str) -> None:
        values = options if isinstance(options, ValueOptions) else ValueOptions()
        self._plain = Plain(
            around.limit, hexadecimal=values.binary == "hex", null=getattr(options, "non_finite", "fault") == "null"
        )
        self._type = content_type
        self._heads = HeadWriter()

    def encode(self, payload: bytes, head: Head) -> Made:
        made = self.dump(decode_json(payload))
        return [(self._plain.small(made), self._headed(head, self._type))]

    def requests(self) -> Made:
        return ()

    @abstractmethod
    def dump(self, document: Any) -> bytes:
        """A document in the format. Raises `NodeFault`."""

    def _headed(self, head: Head, content_type: str | None) -> Head:
        if head.content_type == content_type:
            return head
        return self._heads.written(head, (("contentType", "", content_type),))


class DocumentCodec(WritingCodec):
    """What those share that also make JSON of their format value by value."""

    def decode(self, payload: bytes, head: Head) -> Made:
        head = self._headed(head, JSON_TYPE)
        return [(made, head) for made in self._plain.texts(self.load(payload))]

    @abstractmethod
    def load(self, payload: bytes) -> Sequence[Any]:
        """The values in a payload: one message each. Raises `NodeFault`."""
