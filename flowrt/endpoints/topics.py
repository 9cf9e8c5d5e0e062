"""MQTT topics and topic filters as text (MQTT 5, section 4.7): what is valid, what matches. Pure."""

from __future__ import annotations

from itertools import zip_longest

TOPIC_BYTES_MAX = 65535
"""MQTT writes the length of a text in two bytes (MQTT 5, 1.5.4)."""


def topic_fault(topic: str) -> str | None:
    """Why nothing can be published to `topic`, or None."""
    if "+" in topic or "#" in topic:
        return "a topic to publish to may not contain '+' or '#'"
    return _text_fault(topic, "topic")


def filter_fault(pattern: str) -> str | None:
    """Why `pattern` cannot be subscribed to, or None. `$share/GROUP/FILTER` is understood."""
    if pattern.startswith("$share/"):
        _, group, rest = [*pattern.split("/", 2), "", ""][:3]
        if not group or "+" in group or "#" in group:
            return "a shared subscription is $share/GROUP/FILTER, with a GROUP free of '+' and '#'"
        if not rest:
            return "a shared subscription is $share/GROUP/FILTER; the filter is missing"
    levels = unshared(pattern).split("/")
    for level, text in enumerate(levels):
        if "#" in text and (text != "#" or level != len(levels) - 1):
            return "'#' stands alone, and only as the last level"
        if "+" in text and text != "+":
            return "'+' stands for a whole level"
    return _text_fault(pattern, "topic filter")


def unshared(pattern: str) -> str:
    """The filter itself: `$share/GROUP/a/+` -> `a/+`."""
    return [*pattern.split("/", 2), "", ""][2] if pattern.startswith("$share/") else pattern


def matches(pattern: str, topic: str) -> bool:
    """Whether a filter selects a topic. Wildcards in the first level do not select topics that begin with `$`."""
    wanted, given = unshared(pattern).split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for level, text in enumerate(wanted):
        if text == "#":
            return True
        if level == len(given) or text not in {"+", given[level]}:
            return False
    return len(wanted) == len(given)


def overlap(one: str, other: str) -> bool:
    """Whether some topic matches both filters."""
    for a, b in zip_longest(unshared(one).split("/"), unshared(other).split("/")):
        if "#" in {a, b}:
            return True
        if a != b and (a is None or b is None or "+" not in {a, b}):
            return False
    return True


def _text_fault(text: str, what: str) -> str | None:
    if not text:
        return f"a {what} may not be empty"
    if "\0" in text:
        return f"a {what} may not contain a NUL character"
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return f"a {what} must be valid Unicode text"
    return f"a {what} may have {TOPIC_BYTES_MAX} bytes, not {size}" if size > TOPIC_BYTES_MAX else None
