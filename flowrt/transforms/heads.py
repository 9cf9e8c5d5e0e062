"""What map rules write to metadata: a head from a head."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.transforms.values import describe, text_of_value

HEADS_MAX = 4096
"""Heads remembered: with constant metadata a head is made once a topic, and downstream caches by head stay useful."""
Write = tuple[str, str, Any]
"""Place (`topic`, `property`, `contentType`), key of a property, value; None removes."""


class HeadWriter:
    """Makes heads, each once for the same head and the same texts."""

    def __init__(self) -> None:
        self._known: dict[tuple[Head, tuple[tuple[str, str, str | None], ...]], Head] = {}

    def written(self, head: Head, writes: Sequence[Write]) -> Head:
        """The head with metadata written. Raises `NodeFault` of kind `expression` for what none can hold."""
        texts = tuple((place, key, _text(place, key, value)) for place, key, value in writes)
        known = self._known.get((head, texts))
        if known is None:
            if len(self._known) >= HEADS_MAX:
                self._known.clear()
            known = self._known[head, texts] = _made(head, texts)
        return known


def _text(place: str, key: str, value: Any) -> str | None:
    if value is None and place != "topic":
        return None
    name = f"user property '{key}'" if place == "property" else {"topic": "topic"}.get(place, "content type")
    if value is None or isinstance(value, (tuple, list, dict)) or (place == "topic" and not isinstance(value, str)):
        shown = "a list or an object" if isinstance(value, (list, dict)) else describe(value)
        raise NodeFault("expression", f"the {name} has to be text, and the rule gives {shown}")
    text = text_of_value(value)
    if place == "topic" and (not text or any(char in text for char in "+#\0")):
        raise NodeFault("expression", f"the topic has to be one to publish to, and the rule gives {describe(text)}")
    return text


def _made(head: Head, writes: Sequence[tuple[str, str, str | None]]) -> Head:
    """A property replaces those of its key that came in; written twice, it stands twice, as MQTT allows."""
    changes: dict[str, Any] = {}
    replaced = {key for place, key, _ in writes if place == "property"}
    added: list[tuple[str, str]] = []
    for place, key, text in writes:
        if place == "topic":
            changes["topic"] = text
        elif place == "contentType":
            changes["content_type"] = text
        elif text is None:
            added = [pair for pair in added if pair[0] != key]
        else:
            added.append((key, text))
    if replaced:
        kept = [pair for pair in head.properties if pair[0] not in replaced]
        changes["properties"] = (*kept, *added)
    return head.with_(**changes)
