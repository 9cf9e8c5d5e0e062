"""Paths into documents and metadata, and the inputs of rules: as text and as data.

`Payload."Tag.10".Value` has three segments: a dot separates, double quotes around a whole segment keep its dots. A `*`
is a wildcard and stands for one or more segments. `$metadata.topic`, `$metadata.user_property.KEY`,
`$metadata.header.KEY` (the same), `$metadata.system_property.content_type` and `$context(ALIAS).PATH` lead elsewhere.
After an input's path may stand `? $last` and `?? DEFAULT`.
"""

from __future__ import annotations

import re
from math import isfinite
from typing import Literal

from flowrt.problem import nearest
from flowrt.transforms.tree import ESCAPES, ExpressionError
from flowrt.transforms.values import INT_MAX, INT_MIN
from flowrt.values import Struct

WILDCARD = "*"
Place = Literal["payload", "topic", "property", "contentType", "context", "source"]
"""What a path leads into; `source` and a context without an alias stand in conditions of datasets only."""

_LAST = re.compile(r"\?\s*\$last(?=\s|\?|$)", re.IGNORECASE)
_CONTEXT = re.compile(r"\$context(?:\(([^()]*)\))?(?:\.|$)")
_METADATA = ("topic", "user_property", "header", "system_property")
_NUMBER = re.compile(r"[+-]?\d+")
_FLOAT = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_TEXT = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_WORDS: dict[str, object] = {"true": True, "false": False, "null": None}


class Path(Struct, frozen=True):
    """Where a value is read from or written to."""

    segments: tuple[str, ...]
    """Of a property its key. A wildcard is where `wildcard` says; a quoted `"*"` is a name."""
    place: Place = "payload"
    alias: str = ""
    """Of a context, its dataset; `""` for the record that a condition looks at."""
    wildcard: int | None = None
    """Index of the `*`."""

    @property
    def before(self) -> tuple[str, ...]:
        """The segments before the wildcard."""
        return self.segments[: self.wildcard]

    @property
    def after(self) -> tuple[str, ...]:
        """The segments behind it."""
        return () if self.wildcard is None else self.segments[self.wildcard + 1 :]


class InputPath(Struct, frozen=True):
    """One input of a rule."""

    text: str
    path: Path
    last: bool = False
    """Whether a missing value is the last one there was."""
    default: object = None
    has_default: bool = False


def parse_input(text: str) -> InputPath:
    """An input with its suffixes. Raises `ExpressionError` with the column."""
    end = _path_end(text)
    path_text, rest = text[:end].rstrip(), text[end:]
    stray = re.search(r"\?\s*\$", path_text)
    if stray and '"' not in path_text:
        message = f"found '{path_text[stray.start() :]}' behind the path; write ? $last, or quote it if it is a name"
        raise ExpressionError(message, stray.start() + 1)
    path = parse_path(path_text)
    at = end + 1
    last = _LAST.match(rest)
    if last:
        at += last.end()
        rest = rest[last.end() :]
    at += len(rest) - len(rest.lstrip())
    rest = rest.strip()
    if not rest:
        return InputPath(text, path, last=last is not None)
    if not rest.startswith("??"):
        raise ExpressionError(f"found '{rest}' behind the path; write ? $last, ?? DEFAULT, or both in that order", at)
    default = rest[2:].lstrip()
    return InputPath(text, path, last is not None, _default(default, at + len(rest) - len(default)), has_default=True)


def parse_path(text: str) -> Path:
    """A path without suffixes. Raises `ExpressionError` with the column."""
    if text.startswith("$metadata"):
        return _metadata(text)
    context = _CONTEXT.match(text)
    if context:
        return _in_context(text, context)
    if text.startswith("$source."):
        return _document(text, len("$source."), "source")
    if text.startswith("$"):
        known = ["$metadata.topic", "$metadata.user_property.KEY", "$context(ALIAS).FIELD"]
        raise ExpressionError(f"'{text}' leads nowhere; known are {', '.join(known)}", 1)
    return _document(text, 0, "payload")


def _path_end(text: str) -> int:
    """Where the path ends and its suffixes begin: at a `? $last` or `??` outside of a quoted segment."""
    for token in re.finditer(r'(?:^|(?<=\.))"[^"]*"|\?', text):
        rest = text[token.start() :]
        if token[0] == "?" and (rest.startswith("??") or _LAST.match(rest)):
            return token.start()
    return len(text)


def _document(text: str, start: int, place: Place, alias: str = "") -> Path:
    segments, quoted = split(text, start)
    stars = []
    for index, (segment, closed) in enumerate(zip(segments, quoted, strict=True)):
        if segment == WILDCARD and not closed:
            stars.append(index)
        elif WILDCARD in segment and not closed:
            message = f"a wildcard is a whole segment, not a part of one as in '{segment}'; quote it if it is a name"
            raise ExpressionError(message, start + 1)
    if len(stars) > 1:
        raise ExpressionError("a path has one wildcard at most", start + 1)
    return Path(tuple(segments), place, alias, stars[0] if stars else None)


def split(text: str, start: int = 0) -> tuple[list[str], list[bool]]:
    """The segments from `start` on, and for each whether it stands in quotes."""
    segments: list[str] = []
    quoted: list[bool] = []
    at = start
    while True:
        close = text.find('"', at + 1) if text.startswith('"', at) else -1
        if close >= 0:
            segments.append(text[at + 1 : close])
            end = close + 1
            if end < len(text) and text[end] != ".":
                raise ExpressionError("behind a quoted segment stands a dot or the end of the path", end + 1)
        else:
            end = text.find(".", at)
            end = len(text) if end < 0 else end
            segments.append(text[at:end])
        quoted.append(close >= 0)
        if not segments[-1] and close < 0:
            raise ExpressionError(
                'the path has an empty segment; quote a name that is empty or has dots: "a.b"', at + 1
            )
        if end >= len(text):
            return segments, quoted
        at = end + 1


def _metadata(text: str) -> Path:
    segments, _ = split(text)
    match segments:
        case ["$metadata", "topic"]:
            return Path((), "topic")
        case ["$metadata", "user_property" | "header", key]:
            return Path((key,), "property")
        case ["$metadata", "system_property", "content_type"]:
            return Path((), "contentType")
        case ["$metadata", "system_property", other]:
            raise ExpressionError(f"there is no system property '{other}'; the only one is content_type", 1)
        case ["$metadata", "user_property" | "header", *_]:
            raise ExpressionError('a property has one key; quote it if it has dots: $metadata.user_property."a.b"', 1)
    found = segments[1] if len(segments) > 1 else ""
    remedy = nearest(found, _METADATA) or f"; known are {', '.join(_METADATA)}"
    raise ExpressionError(f"there is no metadata '{'.'.join(segments[1:])}'{remedy}", 1)


def _in_context(text: str, match: re.Match[str]) -> Path:
    alias = (match[1] or "").strip()
    if match[1] is not None and not alias:
        raise ExpressionError("$context() names no dataset; write its alias between the brackets", 1)
    if match.end() == len(text):
        raise ExpressionError(f"'{text}' names no field; write {text.rstrip('.')}.FIELD", len(text) + 1)
    return _document(text, match.end(), "context", alias)


def _default(text: str, at: int) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if _NUMBER.fullmatch(text) and len(text) <= 20 and INT_MIN <= int(text) <= INT_MAX:
        return int(text)
    if _FLOAT.fullmatch(text) and isfinite(float(text)):
        return float(text)
    if quoted := _TEXT.fullmatch(text):
        return re.sub(r"\\(.)", lambda escape: ESCAPES.get(escape[1], escape[0]), quoted[1], flags=re.DOTALL)
    found = f"'{text}'" if text else "nothing"
    raise ExpressionError(f'the default is {found}; it may be a number, true, false, null or "text" in quotes', at)
