"""Values of other formats as JSON, within bounds: a few bytes can name gigabytes (`resources.message` bounds them)."""

from __future__ import annotations

import base64
import datetime as dt
import decimal
import fractions
import ipaddress
import uuid
from collections.abc import Iterable
from math import isfinite
from typing import Any

from flowrt.errors import NodeFault
from flowrt.transforms.documents import encode

DEPTH_MAX = 100
"""Levels of what is decoded; telemetry has fewer than ten."""
INT_BITS_MAX = 14_000
"""Of an integer: some 4,200 digits, which is as many as Python writes."""
_NUMBERS = (decimal.Decimal, fractions.Fraction)
_TIMES = (dt.datetime, dt.date, dt.time)
_NAMES = (
    uuid.UUID, ipaddress.IPv4Address, ipaddress.IPv6Address, ipaddress.IPv4Network, ipaddress.IPv6Network,
    ipaddress.IPv4Interface, ipaddress.IPv6Interface,
)  # fmt: skip


class Plain:
    """Makes JSON. `limit` bounds the bytes of all that is made of one payload."""

    def __init__(self, limit: int, *, hexadecimal: bool = False, null: bool = False) -> None:
        self._limit = limit
        self._hexadecimal = hexadecimal
        self._null = null
        self._left = 0

    def texts(self, values: Iterable[Any]) -> list[bytes]:
        """One JSON text a value. Raises `NodeFault` of kind `size` or `format`."""
        self._left = self._limit
        return [self.small(encode(self._value(value, DEPTH_MAX))) for value in values]

    def small(self, made: bytes) -> bytes:
        """What is made, when it is not too large. Raises `NodeFault` of kind `size`."""
        if len(made) > self._limit:
            raise self._too_large()
        return made

    def _too_large(self) -> NodeFault:
        return NodeFault("size", f"the payload holds more than resources.message allows to make of it: {self._limit} B")

    def _spend(self, size: int) -> None:
        self._left -= size
        if self._left < 0:
            raise self._too_large()

    def _value(self, value: Any, levels: int) -> Any:
        kind = type(value)
        if kind is str:
            self._spend(len(value) + 2)
            return value
        if kind is bool or value is None:
            self._spend(4)
            return value
        if kind is int:
            return self._int(value)
        if kind is float:
            return self._float(value)
        if levels == 0:
            raise NodeFault("format", f"the payload is nested more than {DEPTH_MAX} levels deep")
        if isinstance(value, dict):
            self._spend(2)
            return {self._key(key): self._value(inner, levels - 1) for key, inner in value.items()}
        if isinstance(value, (list, tuple)):
            self._spend(2 + len(value))
            return [self._value(inner, levels - 1) for inner in value]
        return self._other(value, levels)

    def _int(self, value: int) -> int:
        if value.bit_length() > INT_BITS_MAX:
            raise NodeFault("format", f"the payload holds an integer of {value.bit_length()} bits")
        self._spend(1 + value.bit_length() // 3)
        return value

    def _float(self, value: float) -> float | None:
        self._spend(8)
        if isfinite(value):
            return value
        if self._null:
            return None
        raise NodeFault("format", f"the payload holds {value}, which JSON has not; nonFinite: null makes null of it")

    def _key(self, key: Any) -> str:
        if isinstance(key, bytes):
            key = self._bytes(key)
        elif isinstance(key, bool) or key is None:
            key = {True: "true", False: "false", None: "null"}[key]
        elif isinstance(key, int):
            key = str(self._int(key))
        elif not isinstance(key, str):
            if not isinstance(key, (float, *_NAMES, *_TIMES)):
                raise NodeFault("format", f"the payload has a key of type {type(key).__name__}, which JSON has not")
            key = key.isoformat() if isinstance(key, _TIMES) else str(key)
        self._spend(len(key) + 4)
        return str(key)

    def _other(self, value: Any, levels: int) -> Any:
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._bytes(bytes(value))
        if isinstance(value, (set, frozenset)):
            return sorted((self._value(inner, levels - 1) for inner in value), key=repr)
        if isinstance(value, _TIMES):
            self._spend(40)
            return value.isoformat()
        if isinstance(value, dt.timedelta):
            return value.total_seconds()
        if isinstance(value, _NUMBERS):
            return self._number(value)
        if isinstance(value, _NAMES):
            self._spend(40)
            return str(value)
        raise NodeFault("format", f"the payload holds a value of type {type(value).__name__}, which JSON has not")

    def _number(self, value: Any) -> float | None:
        try:
            return self._float(float(value))
        except (OverflowError, ValueError):
            raise NodeFault("format", "the payload holds a number that is too large") from None

    def _bytes(self, value: bytes) -> str:
        self._spend(2 * len(value) + 2)
        return value.hex() if self._hexadecimal else base64.b64encode(value).decode()
