"""What `decode` and `encode` share: the name of a format with its options."""

from __future__ import annotations

from typing import Any

from flowrt.formats.options import FORMATS, FormatOptions
from flowrt.operators.base import Operation
from flowrt.options import Field, having


def field_of(kind: str) -> str:
    """The field's name in code: `json` is a method of every model."""
    return f"as_{kind}"


_FIELDS: dict[str, Any] = {
    field_of(kind): (options | None, Field(None, alias=kind, description=options.__doc__))
    for kind, options in FORMATS.items()
}


@having(_FIELDS)
class FormatOperation(Operation):
    """An operation with exactly one format."""

    @property
    def kinds(self) -> tuple[str, ...]:
        """The formats it was given; one, in a sound file."""
        return tuple(kind for kind in FORMATS if getattr(self, field_of(kind)) is not None)

    @property
    def options(self) -> FormatOptions:
        """The options of its format."""
        options: FormatOptions = getattr(self, field_of(self.kinds[0]))
        return options

    @property
    def schema_names(self) -> tuple[str, ...]:
        """The graph's schemas that it names."""
        return tuple(name for kind in self.kinds for name in getattr(self, field_of(kind)).schema_names)
