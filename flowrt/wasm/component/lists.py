"""The functions of hosts whose lists cross in place (`direct.py`): the reading of a buffer, and those of wasi-nn that
carry tensors and models."""

from __future__ import annotations

from functools import cache

from flowrt.graph.worlds import NN_NEWER, NN_OLDER, direct_interface, interface, nn_interface
from flowrt.wasm.component.deftypes import Direct
from flowrt.wasm.component.direct import BRIDGE, direct
from flowrt.wasm.text import to_binary

_READING = {interface("types"): {"[method]buffer.read": Direct(fills=True)}}
_NN = {
    name: functions
    for revision in (NN_NEWER, NN_OLDER)
    for name, functions in (
        (
            nn_interface("tensor", revision),
            {"[constructor]tensor": Direct(raw=(2,)), "[method]tensor.data": Direct(fills=True)},
        ),
        (nn_interface("graph", revision), {"load": Direct(raw=(0,))}),
    )
}


def in_place(code: bytes) -> bytes:
    """A component as it is to be compiled. Where payloads cannot be changed, tensors and models may be."""
    for changes in (_READING | _NN, _NN):
        changed = direct(code, changes, direct_interface, _bridge())
        if changed is not code:
            return changed
    return code


@cache
def _bridge() -> bytes:
    return to_binary(BRIDGE)
