"""Unfolding what is compressed, within bounds: a few bytes can unfold to gigabytes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowrt.errors import NodeFault

PARTS_MAX = 256
"""Members or frames of one payload: each costs a copy of what follows it."""


def unfolded(name: str, payload: bytes, limit: int, fresh: Callable[[], Any], error: type[Exception]) -> bytes:
    """What a payload of one or several compressed parts holds, `limit` bytes at most.

    `fresh` makes what unfolds one part: an object with `decompress(data, max_length)`, `eof` and `unused_data`. Raises
    `NodeFault` of kind `format` or `size`.
    """
    parts: list[bytes] = []
    left, rest = limit, payload
    while rest or not parts:
        if len(parts) == PARTS_MAX:
            raise NodeFault("format", f"the payload has more than {PARTS_MAX} parts that are compressed by themselves")
        one = fresh()
        try:
            part = one.decompress(rest, left + 1)
        except error as fault:
            raise NodeFault("format", f"the payload is not {name}: {fault}") from None
        left -= len(part)
        if left < 0:
            raise NodeFault("size", f"the payload unfolds to more than resources.message, {limit} B")
        if not one.eof:
            raise NodeFault("format", f"the payload is not {name}: it ends too early")
        parts.append(part)
        rest = one.unused_data
    return parts[0] if len(parts) == 1 else b"".join(parts)
