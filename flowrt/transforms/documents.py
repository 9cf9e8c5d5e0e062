"""JSON documents in and out of payloads. Everything that JSON can do wrong has one outcome.

Of a key that stands twice the last counts, as with most parsers. Integers of any size pass unchanged. `NaN` and
`Infinity`, text that is not UTF-8, and documents nested deeper than Python's parser goes are faults of kind `format`.

msgspec reads and writes what is plain. Whatever it refuses, and every `null` that it writes, goes to the standard
library, which has the last word: so there is one outcome, and one text, for all that is odd.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, NoReturn

import msgspec

from flowrt.errors import NodeFault


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_read: Final = msgspec.json.Decoder().decode
_written: Final = msgspec.json.Encoder().encode


def decode(payload: bytes) -> Any:
    """The document in a payload. Raises `NodeFault` of kind `format`."""
    try:
        return _read(payload)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return decode_plainly(payload)


def encode(document: object) -> bytes:
    """A document as compact UTF-8. Raises `NodeFault` of kind `expression` for what JSON cannot hold."""
    try:
        made = _written(document)
    except (msgspec.MsgspecError, UnicodeEncodeError, RecursionError, ValueError):
        return encode_plainly(document)
    return made if b"null" not in made else encode_plainly(document)  # it writes NaN and infinity as null


def decode_plainly(payload: bytes) -> Any:
    """`decode` by the standard library."""
    try:
        return _decoder.decode(str(payload, "utf-8"))
    except UnicodeDecodeError as error:
        raise NodeFault("format", f"the payload is not JSON: it is not UTF-8, from byte {error.start} on") from None
    except RecursionError:
        raise NodeFault("format", "the payload's JSON is nested too deeply") from None
    except ValueError as error:
        words = "a number has more digits than are read" if "digits" in str(error) else error
        raise NodeFault("format", f"the payload is not JSON: {words}") from None


def encode_plainly(document: object) -> bytes:
    """`encode` by the standard library."""
    try:
        return _encoder.encode(document).encode()
    except UnicodeEncodeError:
        raise NodeFault("expression", "the result holds half of a surrogate pair, which is no text") from None
    except RecursionError:
        raise NodeFault("expression", "the result is nested too deeply") from None
    except ValueError:
        raise NodeFault("expression", "the result holds NaN or infinity, which JSON cannot") from None


def put(out: dict[str, Any], segments: Sequence[str], value: Any) -> None:
    """Write at a path, making objects on the way in the place of whatever stood there."""
    *way, last = segments
    for segment in way:
        inner = out.get(segment)
        if type(inner) is not dict:
            inner = out[segment] = {}
        out = inner
    out[last] = value


def detached(value: Any) -> Any:
    """A value whose objects may be written into without changing the message's own."""
    return {key: detached(inner) for key, inner in value.items()} if type(value) is dict else value
