"""The one exception of everything about models, with the code that a guest is given for it."""

from __future__ import annotations

from typing import Literal

from flowrt.errors import NodeFault

Code = Literal[
    "invalid-argument",
    "invalid-encoding",
    "runtime-error",
    "unsupported-operation",
    "too-large",
    "not-found",
    "model-not-found",
    "security",
    "timeout",
    "busy",
    "end-of-sequence",
    "context-full",
    "prompt-too-long",
]
"""As the error codes of wasi-nn's WIT are spelt; `model-not-found` is a known name whose file is gone (WasmEdge).
The last three are WasmEdge's for text that comes piece by piece; `busy` is the witx's alone."""


class ModelFault(NodeFault):
    """A model could not be loaded or run. The detail names the model, the tensor, what was expected and what came."""

    def __init__(self, code: Code, detail: str, kind: Literal["inference", "shape"] = "inference") -> None:
        super().__init__(kind, detail)
        self.code = code


def wrong_shape(detail: str) -> ModelFault:
    return ModelFault("invalid-argument", detail, "shape")
