"""Whether what a sink publishes may come back through a source's topic filter."""

from __future__ import annotations

import re
from itertools import zip_longest

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
_LEVEL, _LEVELS = "\0", "\1"
"""Stand for a placeholder that fills part of one level, and for one that may hold slashes. Topics hold neither."""


def as_filter(template: str) -> str:
    """A filter that every topic of a sound template matches: `a/{topic[1]}/b` -> `a/+/b`, `a/{json.x}/b` -> `a/#`."""
    levels: list[str] = []
    for level in _TOKEN.sub(_stand_in, template).split("/"):
        if _LEVELS in level:
            return "/".join([*levels, "#"])
        levels.append("+" if _LEVEL in level else level)
    return "/".join(levels)


def can_meet(one: str, other: str) -> bool:
    """Whether some topic matches both filters. A wildcard in the first level matches no topic that begins with `$`."""
    if one[:1] + other[:1] in {"#$", "+$", "$#", "$+"}:
        return False
    for left, right in zip_longest(one.split("/"), other.split("/")):
        if left == "#" or right == "#":
            return True
        if left is None or right is None:
            return False
        if left != right and "+" not in (left, right):
            return False
    return True


def _stand_in(match: re.Match[str]) -> str:
    if match[1] is None:
        return match[0][0]
    return _LEVEL if match[1].startswith("topic[") else _LEVELS
