"""What options say, as a text that is equal for equal options: for comparing, and for names of what was tried."""

from __future__ import annotations

import json
from collections.abc import Container
from typing import Any

from flowrt.options.declared import MISSING, Options, defaults_of


def text_of(value: Options, *, but: Container[str] = (), only: Container[str] | None = None) -> str:
    """JSON of the fields that are not at their defaults, so that a later version's new fields change nothing. `but` are
    left out, and with `only` all others are."""
    said = {name: part for name, part in _said(value).items() if name not in but and (only is None or name in only)}
    return json.dumps(said, default=_plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _said(value: Options) -> dict[str, Any]:
    defaults = defaults_of(type(value))
    return {name: part for name, part in value if part != defaults.get(name, MISSING)} | (value.model_extra or {})


def _plain(value: object) -> object:
    return _said(value) if isinstance(value, Options) else str(value)
