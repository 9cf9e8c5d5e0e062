"""What a hostile node under its declared quota does to a healthy graph in the same runtime: ratios within one run."""

from __future__ import annotations


def compare(seconds: float) -> bool:
    return True
