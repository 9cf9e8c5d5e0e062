"""What this client left at the broker, which does not tell: the filters of a persistent session, and under which id."""

from __future__ import annotations

import json
from collections.abc import Set as AbstractSet
from pathlib import Path
from urllib.parse import quote

from flowrt.parsing import parsed


def read_filters(path: Path) -> set[str]:
    """What was written last; nothing when there is nothing to be read."""
    try:
        value = parsed(path.read_bytes())
    except (OSError, ValueError):
        return set()
    return {text for text in value if isinstance(text, str)} if isinstance(value, list) else set()


def write_filters(path: Path, filters: AbstractSet[str]) -> None:
    """In the place of what was there, in one step. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(sorted(filters)), encoding="utf-8")
    fresh.replace(path)


def session_file(state: Path, client_id: str) -> Path:
    """Where the filters of a client id are remembered."""
    return state / "subscriptions" / f"{quote(client_id, safe='')}.json"


def left_behind(state: Path, endpoint: str, client_id: str) -> tuple[str, set[str]] | None:
    """Under which other id an endpoint was connected the last time, and what it had subscribed to; then the present id
    is remembered. `endpoint` tells it from all others of the state folder. Raises OSError."""
    path = state / "subscriptions" / f"{quote(endpoint, safe='')}.client"
    try:
        before = parsed(path.read_bytes())
    except (OSError, ValueError):
        before = None
    if before == client_id:
        return None
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(client_id), encoding="utf-8")
    fresh.replace(path)
    return (before, read_filters(session_file(state, before))) if isinstance(before, str) else None
