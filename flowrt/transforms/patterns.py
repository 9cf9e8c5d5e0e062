"""Regular expressions through RE2, which takes time linear in the text whatever the pattern: texts come from outside.

Its syntax is that of Rust's regex crate but for a few Unicode classes: no look-around, no back references.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.values import not_too_long

PATTERN_BYTES_MAX = 4 * 2**20
"""Memory that one compiled pattern may take."""
_REFERENCE = re.compile(r"\$(?:\$|(\w+)|\{(\w+)\})", re.ASCII)


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Any:
    """A pattern ready to search. Raises `ExpressionError` for one that is none."""
    import re2  # loaded for the first pattern only

    options = re2.Options()
    options.log_errors = False
    options.max_mem = PATTERN_BYTES_MAX
    try:
        return re2.compile(pattern, options)
    except (re2.error, UnicodeError) as error:
        words = error.args[0] if isinstance(error, re2.error) else error
        text = words.decode(errors="replace") if isinstance(words, bytes) else str(words)
        raise ExpressionError(f"the pattern is no regular expression: {text}") from None


def matches(pattern: str) -> Callable[[str], bool]:
    """Whether the pattern is found anywhere in a text."""
    found = compiled(pattern).search
    return lambda text: found(_utf8(text)) is not None


def replace(pattern: str) -> Callable[[str, str], str]:
    """Every match in a text replaced; `$1`, `${name}` in the replacement are what a group matched, `$$` is a `$`."""
    known = compiled(pattern)

    def replaced(text: str, replacement: str) -> str:
        plain, made = "$" not in replacement, 0

        def one(match: Any) -> str:
            nonlocal made
            piece = replacement if plain else _REFERENCE.sub(lambda reference: _group(match, reference), replacement)
            made += len(piece)
            not_too_long(made)
            return piece

        return str(known.sub(one, _utf8(text)))

    return replaced


def _group(match: Any, reference: re.Match[str]) -> str:
    name = reference[1] or reference[2]
    if name is None:
        return "$"
    try:
        return match.group(int(name) if name.isdigit() else name) or ""
    except (IndexError, KeyError):
        return ""


def _utf8(text: str) -> str:
    """The text, if it is one: JSON's escapes can spell half a character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ExpressionError("the text holds half of a surrogate pair") from None
    return text
