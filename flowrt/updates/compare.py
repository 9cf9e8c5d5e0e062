"""Whether two versions gave the same result for a message. Pure."""

from __future__ import annotations

import json
import math
from array import array
from typing import Any

from flowrt.message import Message

_FLOATS = {"f32": "f", "f64": "d"}


def same(one: Message, other: Message, tolerance: float) -> bool:
    """Whether port, topic and payload agree; numbers may be apart by a share of the larger one. `time` is the port."""
    if one.head.topic != other.head.topic or one.time != other.time:
        return False
    if one.payload == other.payload:
        return True
    if not tolerance or len(one.head.tensors) != len(other.head.tensors):
        return False
    if one.head.tensors:
        return _same_tensors(one, other, tolerance)
    try:
        return _close(json.loads(one.payload), json.loads(other.payload), tolerance)
    except (ValueError, RecursionError):
        return False


def _same_tensors(one: Message, other: Message, tolerance: float) -> bool:
    kinds = {tensor.type for message in (one, other) for tensor in message.head.tensors}
    code = _FLOATS.get(next(iter(kinds))) if len(kinds) == 1 else None
    if code is None or len(one.payload) != len(other.payload) or len(one.payload) % array(code).itemsize:
        return False
    pairs = zip(array(code, one.payload), array(code, other.payload), strict=True)
    return all(_close(a, b, tolerance) for a, b in pairs)


def _close(one: Any, other: Any, tolerance: float) -> bool:
    match one, other:
        case (bool(), _) | (_, bool()):
            return one is other
        case (int() | float(), int() | float()):
            both = math.isnan(one) and math.isnan(other)
            return both or math.isclose(one, other, rel_tol=tolerance, abs_tol=1e-12)
        case dict(), dict():
            return one.keys() == other.keys() and all(_close(one[key], other[key], tolerance) for key in one)
        case list(), list():
            return len(one) == len(other) and all(_close(a, b, tolerance) for a, b in zip(one, other, strict=True))
    return bool(one == other)
