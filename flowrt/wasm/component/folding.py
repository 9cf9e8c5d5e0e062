"""The arguments of `accumulate`: what has been folded so far, and a list of messages."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from flowrt.message import Batch, Message
from flowrt.wasm.component.sending import BYTES_MAX, Sender, Sent
from flowrt.wasm.component.values import LIST, SIZE, memory

_REMEMBERED = 16
"""Heads whose trees each place in the list keeps."""

Lend = Callable[[bytes], int]
"""Makes a resource of a payload and gives its address."""


class FoldSender:
    """One sender for each place in the list: a tree is written in place, so two messages cannot share one."""

    def __init__(self, lend: Lend, forget: Callable[[int], None]) -> None:
        self._lend = lend
        self._forget = forget
        self._staged = Sender()
        self._places: list[Sender] = []
        self._lent: list[int] = []
        self._arguments = ctypes.create_string_buffer(2 * SIZE)
        self.address = ctypes.addressof(self._arguments)
        self._room = memory(self.address, 2 * SIZE)
        self._words = self._room.cast("Q")

    def messages(self, staged: Message, batch: Batch) -> Sent:
        """Set both arguments; what the guest sees of the staged message. `forget` what was lent after the call."""
        while len(self._places) < len(batch):
            self._places.append(Sender(_REMEMBERED, BYTES_MAX))
        sent = self._put(self._staged, staged)
        for sender, message in zip(self._places, batch.rows(), strict=False):
            self._put(sender, message)
        items = b"".join(sender.value for sender in self._places[: len(batch)])
        self._items = ctypes.create_string_buffer(items, max(len(items), 1))
        self._room[:SIZE] = self._staged.value
        self._words[4:7] = memoryview(
            LIST.to_bytes(8, "little")
            + len(batch).to_bytes(8, "little")
            + ctypes.addressof(self._items).to_bytes(8, "little")
        ).cast("Q")
        return sent

    def forget(self) -> None:
        """Free our side of what was lent."""
        while self._lent:
            self._forget(self._lent.pop())

    def _put(self, sender: Sender, message: Message) -> Sent:
        resource = 0
        if len(message.payload) > BYTES_MAX:
            resource = self._lend(message.payload)
            self._lent.append(resource)
        return sender.message(message.head, message.payload, message.time, resource)
