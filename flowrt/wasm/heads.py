"""The heads of one node's messages, on their way into a guest and out of it, remembered by identity.

Sources make one head a topic, so that a node sees few heads and each is packed, unpacked and given its tensors once.
The memory outlives the guest's instances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from flowrt.message import Head, Tensor
from flowrt.wasm.frame import BadFrame, pack_head, unpack_head

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_REMEMBERED = 4096
"""Heads of each kind. More topics than that only cost their heads anew."""
_REMEMBERED_BYTES = 2048
"""Longest packed head that is remembered, so that hostile publishers and guests fill some 8 MiB at most."""


class NodeHeads:
    """`declared`: the tensors the module's outputs hold, as its `flowrt` section says; empty when it says nothing."""

    def __init__(self, declared: Sequence[Tensor] = ()) -> None:
        self._declared = tuple(declared)
        self._fixed = all(extent >= 0 for tensor in declared for extent in tensor.shape)
        self._bytes = sum(tensor.bytes for tensor in declared) if self._fixed else 0
        self._packed: dict[Head, bytes] = {}
        self._kept: dict[Head, Head] = {}
        self._made: dict[tuple[bytes, Head], Head] = {}

    def packed(self, head: Head) -> bytes:
        """The head as a guest reads it."""
        blob = self._packed.get(head)
        if blob is None:
            blob = pack_head(head)
            if len(blob) <= _REMEMBERED_BYTES:
                _remember(self._packed, head, blob)
        return blob

    def keep(self, head: Head) -> Head:
        """The head of an output that keeps its input's: what its payload holds is not what the input's held."""
        if head.tensors == self._declared:
            return head
        kept = self._kept.get(head)
        if kept is None:
            kept = head.with_(tensors=self._declared)
            if len(self.packed(head)) <= _REMEMBERED_BYTES:
                _remember(self._kept, head, kept)
        return kept

    def make(self, blob: bytes, given: Head) -> Head:
        """The head of an output with a head of its own (`frame.unpack_head`). Raises `BadFrame`."""
        made = self._made.get((blob, given))
        if made is None:
            made = self._describe(unpack_head(blob, given))
            if len(blob) + len(self.packed(given)) <= _REMEMBERED_BYTES:
                _remember(self._made, (blob, given), made)
        return made

    def check_kept(self, payloads: Sequence[bytes]) -> None:
        """Payloads under kept heads hold what the module declares. Raises `BadFrame`."""
        if not self._declared:
            return
        if not self._fixed:
            raise BadFrame("an output without a head, though the module declares tensors of free shape")
        sizes = list(map(len, payloads))
        if sizes.count(self._bytes) != len(sizes):
            wrong = next(size for size in sizes if size != self._bytes)
            raise BadFrame(f"an output of {wrong} bytes; the tensors the module declares have {self._bytes}")

    def _describe(self, head: Head) -> Head:
        """A head of its own without tensors has those declared; with tensors, they must be such as declared."""
        if not self._declared:
            return head
        if not head.tensors:
            if not self._fixed:
                raise BadFrame("a head without tensors, though the module declares tensors of free shape")
            return head.with_(tensors=self._declared)
        if len(head.tensors) != len(self._declared) or not all(map(_fits, head.tensors, self._declared)):
            found, wanted = "; ".join(map(str, head.tensors)), "; ".join(map(str, self._declared))
            raise BadFrame(f"an output of tensors {found}; the module declares {wanted}")
        return head


def check_tensors(head: Head, payload: bytes) -> None:
    """A payload is as long as its head's tensors. Raises `BadFrame`."""
    if head.tensors:
        size = sum(tensor.bytes for tensor in head.tensors)
        if size != len(payload):
            raise BadFrame(f"a payload of {len(payload)} bytes under tensors of {size}")


def _fits(found: Tensor, declared: Tensor) -> bool:
    return (
        found.type == declared.type
        and len(found.shape) == len(declared.shape)
        and all(wanted in {-1, extent} for extent, wanted in zip(found.shape, declared.shape, strict=True))
    )


def _remember(memory: dict[_Key, _Value], key: _Key, value: _Value) -> None:
    if len(memory) >= _REMEMBERED:
        memory.clear()
    memory[key] = value
