"""`gzip`: through the standard library's zlib."""

from __future__ import annotations

import zlib
from functools import partial

from flowrt.formats.base import Around, Made
from flowrt.formats.options import GzipOptions
from flowrt.formats.unfold import unfolded
from flowrt.message import Head

_GZIP = 31
"""zlib's window bits for gzip's own frame."""


class GzipCodec:
    """gzip at work. The content type stays: it is of what is inside."""

    def __init__(self, options: GzipOptions, around: Around) -> None:
        self._level = options.level
        self._limit = around.limit

    def decode(self, payload: bytes, head: Head) -> Made:
        fresh = partial(zlib.decompressobj, _GZIP)
        return [(unfolded("gzip", payload, self._limit, fresh, zlib.error), head)]

    def encode(self, payload: bytes, head: Head) -> Made:
        deflate = zlib.compressobj(self._level, zlib.DEFLATED, _GZIP)
        return [(deflate.compress(payload) + deflate.flush(), head)]

    def requests(self) -> Made:
        return ()
