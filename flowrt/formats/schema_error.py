"""What is wrong with a schema."""

from __future__ import annotations


class SchemaError(ValueError):
    """A text is no such schema; the words say why and what to do."""
