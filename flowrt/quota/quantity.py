"""Quantities as Kubernetes writes them: `250m` of a core, `16Mi`, and durations such as `20ms` or `1h`.

Format: Kubernetes' resource quantities (decimal and binary suffixes) and Go's durations, of which we take one unit a
value. Each parser takes what YAML gives (a number or a text) and returns a plain number, or raises ValueError with the
remedy.
"""

from __future__ import annotations

import re
from typing import Annotated

from flowrt.options import BeforeValidator, WithJsonSchema

_BYTES = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER = r"(\d+(?:\.\d+)?)"


def parse_bytes(value: object) -> int:
    """`16Mi` -> 16777216. A plain number is bytes."""
    match = re.fullmatch(rf"{_NUMBER}(Ki|Mi|Gi|k|M|G)?", _text(value))
    if not match:
        raise ValueError(f"'{value}' is not a size; write bytes, or a number with Ki, Mi, Gi, k, M or G, as in 16Mi")
    return int(float(match[1]) * _BYTES[match[2] or ""])


def parse_cores(value: object) -> float:
    """`250m` -> 0.25; `2` -> 2.0."""
    match = re.fullmatch(rf"{_NUMBER}(m)?", _text(value))
    if not match or not float(match[1]):
        raise ValueError(f"'{value}' is not a share of a core; write cores or thousandths, as in 0.5 or 250m")
    return float(match[1]) / (1000 if match[2] else 1)


def parse_seconds(value: object) -> float:
    """`20ms` -> 0.02. A plain number other than 0 is refused: its unit would be a guess."""
    text = _text(value)
    match = re.fullmatch(rf"{_NUMBER}(us|ms|s|m|h|d)", text)
    if text in {"0", "0.0"}:
        return 0.0
    if not match:
        raise ValueError(f"'{value}' is not a duration; write a number and us, ms, s, m, h or d, as in 20ms")
    return float(match[1]) * _SECONDS[match[2]]


def format_bytes(count: float) -> str:
    """The shortest binary form: 16777216 -> `16Mi`, anything uneven with one decimal."""
    for unit in ("Gi", "Mi", "Ki"):
        if count >= _BYTES[unit]:
            return f"{count / _BYTES[unit]:.1f}".removesuffix(".0") + unit
    return str(int(count))


def format_cores(share: float) -> str:
    """0.25 -> `250m`, 2.0 -> `2`."""
    return f"{share:g}" if share == int(share) else f"{share * 1000:g}m"


def _text(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        return repr(value)
    return str(value).strip()


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": ["string", "number"], "pattern": pattern, "examples": [example]})


Bytes = Annotated[int, BeforeValidator(parse_bytes), _schema(r"^\d+(\.\d+)?(Ki|Mi|Gi|k|M|G)?$", "16Mi")]
Cores = Annotated[float, BeforeValidator(parse_cores), _schema(r"^\d+(\.\d+)?m?$", "250m")]
Seconds = Annotated[float, BeforeValidator(parse_seconds), _schema(r"^(0|\d+(\.\d+)?(us|ms|s|m|h|d))$", "20ms")]
