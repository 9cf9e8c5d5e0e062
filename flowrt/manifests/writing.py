"""Values as YAML text, for files that people go on with."""

from __future__ import annotations

from collections.abc import Mapping

import yaml

_WIDTH = 118


def dump(value: Mapping[str, object]) -> str:
    """Block style, in the order given; texts that YAML would read as something else are quoted."""
    text: str = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text
