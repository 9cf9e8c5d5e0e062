"""What a plain word of YAML means: the core schema of YAML 1.2, and where YAML 1.1 disagrees with it."""

from __future__ import annotations

import re

LONGEST = 40
"""Characters of a number; a longer word is text, so that a digest of digits needs no quotes."""
_NULL = {"", "~", "null", "Null", "NULL"}
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_AMBIGUOUS = {
    "a truth value": re.compile(r"yes|Yes|YES|no|No|NO|on|On|ON|off|Off|OFF"),
    "an octal number": re.compile(r"[-+]?0[0-7_]+"),
    "a number to base 60": re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"),
    "a binary number": re.compile(r"[-+]?0b[01_]+"),
    "a number without its underscores": re.compile(r"[-+]?[0-9]+(_[0-9]+)+(\.[0-9_]*)?|0x[0-9a-fA-F]*_[0-9a-fA-F_]*"),
    "a date": re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?"),
}
"""What YAML 1.1 makes of words that YAML 1.2 reads otherwise."""


def resolve(word: str) -> str | int | float | bool | None:
    """A plain word's meaning in the core schema of YAML 1.2."""
    if word in _NULL:
        return None
    if word in _BOOL:
        return _BOOL[word]
    if len(word) > LONGEST:
        return word
    if _INT.fullmatch(word):
        return int(word, 0) if word.startswith(("0o", "0x")) else int(word)
    if _FLOAT.fullmatch(word):
        return float(word.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return word


def ambiguous(word: str) -> str | None:
    """What YAML 1.1 would read, where YAML 1.2 disagrees."""
    if not word or len(word) > LONGEST or word[0] not in "+-0123456789yYnNoO":
        return None
    return next((meaning for meaning, pattern in _AMBIGUOUS.items() if pattern.fullmatch(word)), None)
