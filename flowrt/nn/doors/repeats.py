"""The three calls that a guest makes for every message, when they are what they were the last time.

Such a call is a few look-ups and one copy. Whatever is in the least different (a handle that is not there, another
shape, an address beyond the memory as it was last seen) is left to the whole function, which says what is wrong.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from time import monotonic

from flowrt.nn.doors.holdings import Context
from flowrt.nn.doors.witx import DIMS, SUCCESS, TENSOR, U32, TensorHead
from flowrt.wasm.imports import GuestMemory

Whole = Callable[..., int]
_DIFFERENT = (KeyError, IndexError, TypeError, ValueError, struct.error)


def repeats(whole: Mapping[str, Whole], contexts: Mapping[int, Context]) -> dict[str, Whole]:
    """Quicker forms of three functions of `whole`, for the contexts there are."""
    return {
        "set_input": _set_input(whole["set_input"], contexts),
        "compute": _compute(whole["compute"], contexts),
        "get_output": _get_output(whole["get_output"], contexts),
    }


def remember(context: Context, index: int, head: TensorHead) -> None:
    """An input was accepted. Truth values and texts are looked at each time."""
    target = context.execution.targets[index]
    if target is None or target[2] or context.graph.model.session.inputs[index].form == "text":
        context.heads.pop(index, None)
    else:
        context.heads[index] = head


def _set_input(whole: Whole, contexts: Mapping[int, Context]) -> Whole:
    unpack, dims_of = TENSOR.unpack_from, [dims.unpack_from for dims in DIMS]

    def set_input(memory: GuestMemory, handle: int, index: int, tensor: int) -> int:
        try:
            context, room = contexts[handle], memory.bytes
            dims_at, rank, tag, data, length = unpack(room, tensor)
            if context.heads[index] == (tag, length, dims_of[rank](room, dims_at)):
                context.execution.targets[index][1][:] = room[data : data + length]  # type: ignore[index]
                return SUCCESS
        except _DIFFERENT:
            pass
        return whole(memory, handle, index, tensor)

    return set_input


def _compute(whole: Whole, contexts: Mapping[int, Context]) -> Whole:
    def compute(memory: GuestMemory, handle: int) -> int:
        context = contexts.get(handle)
        began = monotonic()
        if context is None or not context.execution.again():
            return whole(memory, handle)
        if context.graph.runs is not None:
            context.graph.runs.inference.observe(monotonic() - began)
        return SUCCESS

    return compute


def _get_output(whole: Whole, contexts: Mapping[int, Context]) -> Whole:
    pack = U32.pack_into

    def get_output(memory: GuestMemory, handle: int, index: int, out: int, space: int, written: int) -> int:
        try:
            data = contexts[handle].execution.outputs[index]  # type: ignore[index]
            size, room = len(data), memory.bytes
            if size <= space:
                room[out : out + size] = data
                pack(room, written, size)
                return SUCCESS
        except _DIFFERENT:
            pass
        return whole(memory, handle, index, out, space, written)

    return get_output
