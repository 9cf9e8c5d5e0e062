"""MQTT topic filters and sink templates as far as a file's text can be checked: syntax, and whether two can meet.

Sources: MQTT 5, 4.7 (topic names and filters) and 4.8.2 (shared subscriptions).
"""

from __future__ import annotations

import re
from itertools import zip_longest

_BYTES_MAX = 65535
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_FIELD = re.compile(r"topic|topic\[\d+\]|property\.[^{}]+|json\.[^{}.]+(\.[^{}.]+)*")


def filter_fault(text: str) -> str | None:
    """Why a topic filter cannot be subscribed to, or None."""
    if fault := _text_fault(text):
        return fault
    if text.startswith("$share/"):
        group, slash, _ = text.removeprefix("$share/").partition("/")
        if not group or not slash or "+" in group or "#" in group:
            return "a shared subscription is $share/GROUP/FILTER"
    bare = unshared(text)
    if not bare:
        return "a filter may not be empty"
    levels = bare.split("/")
    for position, level in enumerate(levels):
        if "#" in level and (level != "#" or position != len(levels) - 1):
            return "'#' must be the whole last level"
        if "+" in level and level != "+":
            return "'+' must be a whole level"
    return None


def template_fault(text: str) -> str | None:
    """Why a sink's topic template makes no topic, or None."""
    if fault := _text_fault(text):
        return fault
    for field in _PLACEHOLDER.findall(text):
        if not _FIELD.fullmatch(field):
            return (
                f"{{{field}}} is no placeholder; known are {{topic}}, {{topic[N]}}, {{property.KEY}} and {{json.PATH}}"
            )
    constant = _PLACEHOLDER.sub("", text)
    if "{" in constant or "}" in constant:
        return "a brace is not closed"
    if "+" in constant or "#" in constant:
        return "'+' and '#' may not stand in a topic to publish to"
    return None


def unshared(text: str) -> str:
    """The filter of a shared subscription, or the filter itself."""
    if not text.startswith("$share/"):
        return text
    return text.removeprefix("$share/").partition("/")[2]


def as_filter(template: str) -> str:
    """A filter that every topic of a template matches: a placeholder may hold anything, `{topic}` and JSON values even
    several levels."""
    levels: list[str] = []
    for level in template.split("/"):
        if re.search(r"\{(?!topic\[)", level):
            return "/".join([*levels, "#"])
        levels.append("+" if "{" in level else level)
    return "/".join(levels)


def constant(template: str) -> bool:
    return "{" not in template


def can_meet(one: str, other: str) -> bool:
    """Whether some topic matches both filters."""
    for left, right in zip_longest(one.split("/"), other.split("/")):
        if left == "#" or right == "#":
            return True
        if left is None or right is None:
            # `a/#` also matches `a`.
            return False
        if left != right and "+" not in (left, right):
            return False
    return True


def _text_fault(text: str) -> str | None:
    if not text:
        return "it may not be empty"
    if "\0" in text:
        return "it may not contain a NUL character"
    size = len(text.encode("utf-8", "replace"))
    return f"it may have {_BYTES_MAX} bytes, not {size}" if size > _BYTES_MAX else None
