"""`zstd`: through backports.zstd, an optional package, which is Python 3.14's own `compression.zstd`."""

from __future__ import annotations

from functools import partial

from flowrt.formats.base import Around, Made
from flowrt.formats.extras import library
from flowrt.formats.options import ZSTD, ZstdOptions
from flowrt.formats.unfold import unfolded
from flowrt.message import Head

WINDOW_LOG_MAX = 23
"""8 MiB: the memory that a frame may ask for to be read."""


class ZstdCodec:
    """Zstandard at work. The content type stays: it is of what is inside."""

    def __init__(self, options: ZstdOptions, around: Around) -> None:
        self._zstd = library(ZSTD)
        self._level = options.level
        self._limit = around.limit
        window = {self._zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
        self._fresh = partial(self._zstd.ZstdDecompressor, options=window)

    def decode(self, payload: bytes, head: Head) -> Made:
        return [(unfolded("zstd", payload, self._limit, self._fresh, self._zstd.ZstdError), head)]

    def encode(self, payload: bytes, head: Head) -> Made:
        return [(self._zstd.compress(payload, level=self._level), head)]

    def requests(self) -> Made:
        return ()
