"""Two processes, a piece of memory both see, and a signal each way.

The memory is sealed: the child can neither shrink it, which would kill whoever reads it, nor grow it. Signals are
eventfds: 65 µs for 600 kB there and back, where bytes through a pipe take ten times as long.
"""

from __future__ import annotations

import contextlib
import fcntl
import mmap
import os
import select

_F_ADD_SEALS, _SEAL_SEAL, _SEAL_SHRINK, _SEAL_GROW = 1033, 1, 2, 4


class Channel:
    """One end. `request` and `reply` are the halves of the memory."""

    def __init__(self, memory: int, asked: int, answered: int, size: int) -> None:
        self._memory, self.asked, self.answered, self.size = memory, asked, answered, size
        self._map = mmap.mmap(memory, 2 * size)
        whole = memoryview(self._map)
        self.request, self.reply = whole[:size], whole[size:]
        whole.release()

    @classmethod
    def make(cls, size: int) -> Channel:
        """A new one, each half `size` bytes; pages that are never written cost nothing."""
        memory = os.memfd_create("flowrt-node", os.MFD_ALLOW_SEALING | os.MFD_CLOEXEC)
        os.ftruncate(memory, 2 * size)
        fcntl.fcntl(memory, _F_ADD_SEALS, _SEAL_SEAL | _SEAL_SHRINK | _SEAL_GROW)
        return cls(memory, os.eventfd(0), os.eventfd(0), size)

    @property
    def descriptors(self) -> tuple[int, int, int]:
        """What the child inherits."""
        return self._memory, self.asked, self.answered

    def close(self) -> None:
        """Safe to call twice."""
        if self._map.closed:
            return
        self.request.release()
        self.reply.release()
        with contextlib.suppress(BufferError):
            self._map.close()
        for descriptor in self.descriptors:
            os.close(descriptor)


def readable(descriptors: tuple[int, ...], seconds: float) -> set[int]:
    """Which of these can be read, within so many seconds."""
    poll = select.poll()
    for descriptor in descriptors:
        poll.register(descriptor, select.POLLIN)
    return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}
