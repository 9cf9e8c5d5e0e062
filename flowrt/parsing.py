"""JSON that somebody else wrote: a registry, a stick, a disk that has gone bad."""

from __future__ import annotations

import json
from math import isfinite
from typing import Any, NoReturn


def _finite(text: str) -> float:
    number = float(text)
    if not isfinite(number):
        raise ValueError(f"{text[:20]} is too large a number")
    return number


def _constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")


_DECODER = json.JSONDecoder(parse_float=_finite, parse_constant=_constant)


def parsed(text: bytes | str) -> Any:
    """Raises ValueError for whatever is no JSON, for numbers that are none, and for what is nested more deeply than
    anybody means."""
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
