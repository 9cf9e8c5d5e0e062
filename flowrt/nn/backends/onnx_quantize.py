"""int8 by ONNX Runtime's own tool, which needs the `onnx` package beside it."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from flowrt.errors import MissingExtra
from flowrt.nn.backend import Array, Slot
from flowrt.nn.faults import ModelFault


def quantize(path: Path, out: Path, inputs: Sequence[Slot], rows: Sequence[Array], *, batched: bool) -> None:
    """Write an int8 model that takes and makes what the model does. With recorded rows activations are quantised too,
    by the ranges seen; without any, weights alone. Raises `ModelFault`, and `MissingExtra` without the package."""
    if find_spec("onnx") is None:
        raise MissingExtra("quantising", "tools")
    from onnxruntime.quantization import QuantFormat, QuantType, quant_pre_process, quantize_dynamic, quantize_static

    logging.getLogger().setLevel(logging.ERROR)  # the tool advises in the log what is done here anyway
    try:
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
            ready = Path(folder) / "ready.onnx"
            quant_pre_process(str(path), str(ready), skip_symbolic_shape=True)
            if not rows:
                quantize_dynamic(str(ready), str(out), weight_type=QuantType.QInt8)
                return
            quantize_static(
                str(ready),
                str(out),
                _Reader(inputs, rows, batched=batched),
                quant_format=QuantFormat.QDQ,
                activation_type=QuantType.QInt8,
                weight_type=QuantType.QInt8,
                per_channel=True,
            )
    except MissingExtra:
        raise
    except Exception as error:  # the tool raises whatever its parts raise
        raise ModelFault("runtime-error", f"{path} does not quantise: {error}") from error


class _Reader:
    """The recording, a row at a time, as the tool asks for it."""

    def __init__(self, inputs: Sequence[Slot], rows: Sequence[Array], *, batched: bool) -> None:
        self._names = [slot.name for slot in inputs]
        self._rows = rows
        self._batched = batched
        self._at = 0

    def get_next(self) -> dict[str, Array] | None:
        if self._at >= len(self._rows[0]):
            return None
        row, self._at = self._at, self._at + 1
        parts = [array[row : row + 1] if self._batched else array[row] for array in self._rows]
        return dict(zip(self._names, parts, strict=True))

    def __len__(self) -> int:
        return len(self._rows[0])

    def set_range(self, start: int, stop: int) -> None:
        """The tool may ask for a part."""
        self._rows = [array[start:stop] for array in self._rows]
        self._at = 0
