"""`encode`: writes JSON payloads in another format, or compresses them.

Exactly one format with its options says which: [formats.md](formats.md). A document that the format cannot hold is a
fault of kind `format`.
"""

from __future__ import annotations

from typing import Literal

from flowrt.operators.formatted import FormatOperation


class EncodeOperation(FormatOperation):
    """Writes JSON in another format."""

    operation_type: Literal["encode"]
