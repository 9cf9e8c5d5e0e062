"""`decode`: makes JSON of payloads in another format, or unfolds what is compressed.

Exactly one format with its options says which: [formats.md](formats.md). Some formats make several messages of one
payload. What is not in the format is a fault of kind `format`, and what would make more than `resources.message` of one
of kind `size`.
"""

from __future__ import annotations

from typing import Literal

from flowrt.formats.options import SparkplugOptions
from flowrt.operators.formatted import FormatOperation


class DecodeOperation(FormatOperation):
    """Makes JSON of another format."""

    operation_type: Literal["decode"]

    @property
    def has_arms(self) -> bool:
        """Whether requests leave by an arm of their own."""
        return any(isinstance(self.options, SparkplugOptions) and self.options.rebirth for _ in self.kinds[:1])

    @property
    def across_topics(self) -> str | None:
        """What makes messages of one topic count for another's, in words; None where nothing does."""
        words: str | None = self.options.across_topics
        return words
