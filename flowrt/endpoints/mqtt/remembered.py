"""The topic filters of a persistent session, as this client left them: brokers do not tell."""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from pathlib import Path


def read_filters(path: Path) -> set[str]:
    """What was written last; nothing when there is nothing to be read."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return set()
    return {text for text in value if isinstance(text, str)} if isinstance(value, list) else set()


def write_filters(path: Path, filters: AbstractSet[str]) -> None:
    """In the place of what was there, in one step. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(sorted(filters)), encoding="utf-8")
    fresh.replace(path)
