"""What a model file says of itself, whatever its format."""

from __future__ import annotations

from collections.abc import Mapping

from flowrt.nn.backend import Slot
from flowrt.values import Struct, field


class Signature(Struct, frozen=True):
    """One of the functions that a model has."""

    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]


class Described(Struct, frozen=True):
    """Read from the file alone, without an engine."""

    inputs: tuple[Slot, ...]
    outputs: tuple[Slot, ...]
    version: str
    """Of the format: `opset 17, IR 8`, `IR version 11`."""
    operators: Mapping[str, int] = field(default_factory=dict)
    """How often each operator occurs."""
    weights: Mapping[str, int] = field(default_factory=dict)
    """Bytes of the weights by their type."""
    notes: Mapping[str, str] = field(default_factory=dict)
    """What else the format says: who made it, of what architecture a language model is."""
    signatures: Mapping[str, Signature] = field(default_factory=dict)
    """By name, the functions of a format whose models may have several (TensorFlow Lite)."""

    @property
    def parameter_bytes(self) -> int:
        return sum(self.weights.values())
