"""`concatenate`: merges its inputs. Messages pass unchanged, each input's in its own order."""

from __future__ import annotations

from typing import Literal

from flowrt.message import Batch
from flowrt.operators.base import Emission, Operation


class ConcatenateOperation(Operation):
    """Merges its inputs."""

    operation_type: Literal["concatenate"]
    module: None = None
    """AIO writes an empty `module:` here."""


class ConcatenateOperator:
    """Passes batches on."""

    def process(self, batch: Batch) -> Emission:
        return Emission((batch,))

    def restart(self) -> None:
        """Nothing to put in place."""

    def memory_bytes(self) -> int:
        return 0

    def close(self) -> None:
        """Nothing to give back."""
