"""Arithmetic as IEEE 754 and Rust have it: NaN and infinities where Python raises, halves rounded away from zero."""

from __future__ import annotations

import math
from collections.abc import Callable
from math import copysign, inf, nan

from flowrt.transforms.tree import ExpressionError
from flowrt.transforms.values import within

Number = int | float


def divide(left: Number, right: Number) -> Number:
    """Between two ints the quotient towards zero; division by the int 0 is an error, by 0.0 infinity or NaN."""
    if type(left) is int and type(right) is int:
        if right == 0:
            raise ExpressionError("an int is divided by zero")
        quotient = abs(left) // abs(right)
        return within(quotient if (left < 0) == (right < 0) else -quotient)
    if right != 0:
        return left / right
    return nan if left == 0 or left != left else copysign(inf, left) * copysign(1.0, right)


def remainder(left: Number, right: Number) -> Number:
    """With the sign of `left`."""
    if type(left) is int and type(right) is int:
        if right == 0:
            raise ExpressionError("an int is divided by zero")
        rest = abs(left) % abs(right)
        return -rest if left < 0 else rest
    return ieee(math.fmod)(left, right)


def power(base: Number, exponent: Number) -> float:
    """A float, as IEEE's pow."""
    try:
        return math.pow(base, exponent)
    except OverflowError:
        odd = float(exponent).is_integer() and exponent % 2 == 1
        return -inf if base < 0 and odd else inf
    except ValueError:
        if base != 0:
            return nan
        odd = float(exponent).is_integer() and exponent % 2 == 1
        return copysign(inf, base) if odd else inf


def ieee(function: Callable[..., float]) -> Callable[..., float]:
    """A function of `math` that gives NaN and infinity instead of raising."""

    def safe(*numbers: Number) -> float:
        try:
            return float(function(*numbers))
        except OverflowError:
            return inf
        except ValueError:
            return nan

    return safe


def logarithm(function: Callable[[Number], float]) -> Callable[[Number], float]:
    """A logarithm, which is minus infinity at zero."""

    def safe(number: Number) -> float:
        if number > 0:
            return function(number)
        return -inf if number == 0 else nan

    return safe


ln = logarithm(math.log)


def log(number: Number, base: Number) -> float:
    return float(divide(ln(number), ln(base)))


def absolute(number: Number) -> Number:
    return within(abs(number)) if isinstance(number, int) else abs(number)


def whole(function: Callable[[float], Number]) -> Callable[[Number], float]:
    """`floor` and its like: the result is a float, and what is infinite or NaN stays so."""

    def safe(number: Number) -> float:
        return float(function(number)) if math.isfinite(number) else float(number)

    return safe


def round_away(number: Number) -> float:
    """The nearest whole number, halves away from zero."""
    if not math.isfinite(number):
        return float(number)
    towards_zero = math.trunc(number)
    if abs(number - towards_zero) >= 0.5:
        towards_zero += 1 if number > 0 else -1
    return copysign(float(towards_zero), number)


def round_n(number: Number, decimals: Number) -> float:
    """Rounded to 0 to 15 decimal places."""
    if not 0 <= decimals <= 15:
        raise ExpressionError(f"round_n takes 0 to 15 decimals, not {decimals}")
    factor = 10.0**decimals
    scaled = number * factor
    return round_away(scaled) / factor if math.isfinite(scaled) else float(number)


def scale(number: Number, low: Number, high: Number, to_low: Number, to_high: Number) -> float:
    """Linear, beyond the source range too."""
    if low == high:
        raise ExpressionError("scale's source range is empty: its ends are equal")
    return to_low + (number - low) * (to_high - to_low) / float(high - low)
