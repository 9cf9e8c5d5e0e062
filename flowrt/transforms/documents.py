"""JSON documents in and out of payloads. Everything that JSON can do wrong has one outcome.

Of a key that stands twice the last counts, as with most parsers. Integers of any size pass unchanged. `NaN` and
`Infinity`, text that is not UTF-8, and documents nested deeper than Python's parser goes are faults of kind `format`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

from flowrt.errors import NodeFault


def _no_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")


_decoder = json.JSONDecoder(parse_constant=_no_constant)
_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
# `decode` looks for space around the value by regular expressions and `encode` makes a new C encoder, each time: a
# third of what a small document costs. Documents are trees, so circles need not be looked for.
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once  # type: ignore[attr-defined]
_chunks: Callable[[object, int], Iterable[str]] = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
    None, _encoder.default, json.encoder.encode_basestring, None, ":", ",", False, False, False
)


def decode(payload: bytes) -> Any:
    """The document in a payload. Raises `NodeFault` of kind `format`."""
    try:
        text = str(payload, "utf-8")
        try:
            document, end = _scan(text, 0)
        except StopIteration:  # space before the value, or a mistake, which the decoder has words for
            return _decoder.decode(text)
        return document if end == len(text) else _decoder.decode(text)
    except UnicodeDecodeError as error:
        raise NodeFault("format", f"the payload is not JSON: it is not UTF-8, from byte {error.start} on") from None
    except RecursionError:
        raise NodeFault("format", "the payload's JSON is nested too deeply") from None
    except ValueError as error:
        raise NodeFault("format", f"the payload is not JSON: {error}") from None


def encode(document: object) -> bytes:
    """A document as compact UTF-8. Raises `NodeFault` of kind `expression` for what JSON cannot hold."""
    try:
        return "".join(_chunks(document, 0)).encode()
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
