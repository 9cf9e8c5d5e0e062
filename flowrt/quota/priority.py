"""The priority of a thread whose guest is past its share: others go first, and it has what cores they leave.

Who wakes while such a guest has the core would wait for the rest of the kernel's turn, milliseconds, however small the
guest's share is. Under the policy for idle work the guest makes room at once.

A thread that holds the interpreter's lock and waits for a core keeps everyone waiting. So the lock is not held while
the priority goes down, and the first thing that happens once a thread has it again is that the priority goes up. What
remains are some microseconds in between; should the thread lose its core just then, and all cores be busy for good, its
turn comes the sooner the shorter its turns are (0.1 ms, where the kernel lets threads have their own: Linux 6.12).

Source: sched_setattr(2), sched(7).
"""

from __future__ import annotations

import ctypes
import os
import threading
from functools import cache

_NORMAL, _IDLE = 0, 5
_TURN = 100_000
"""Nanoseconds."""
_NUMBERS = {"x86_64": 314, "aarch64": 274, "riscv64": 274, "armv7l": 380}
"""Of the system call, which not every C library names."""
_gentle = ctypes.CDLL(None).syscall
"""Gives the interpreter's lock away for the call."""
_quick = ctypes.PyDLL(None).syscall
"""Keeps it."""


class _Attributes(ctypes.Structure):
    """`struct sched_attr`, in its first version of 48 bytes."""

    _fields_ = (
        ("size", ctypes.c_uint32), ("policy", ctypes.c_uint32), ("flags", ctypes.c_uint64), ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32), ("runtime", ctypes.c_uint64), ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )  # fmt: skip


class Priority:
    """Of the thread that calls one guest."""

    __slots__ = ("lowered",)

    def __init__(self) -> None:
        self.lowered = False

    @staticmethod
    def can_yield() -> bool:
        """Whether `lower` does anything."""
        return _can_be_undone()

    def lower(self) -> None:
        """Let others go first, where that can be undone."""
        if _can_be_undone():
            self.lowered = _set(_gentle, _IDLE, _TURN)

    def restore(self) -> None:
        if self.lowered:
            self.lowered = False
            _set(_quick, _NORMAL, 0)


@cache
def _can_be_undone() -> bool:
    """Whether this process may raise a priority again: with RLIMIT_NICE of 20, or CAP_SYS_NICE. Tried on a thread that
    ends, because nothing else tells for sure."""
    found: list[bool] = []
    tried = threading.Thread(target=lambda: found.append(_set(_quick, _IDLE, _TURN) and _set(_quick, _NORMAL, 0)))
    tried.start()
    tried.join()
    return found == [True]


def _set(call: ctypes._NamedFuncPointer, policy: int, turn: int) -> bool:
    """Of the thread that asks. Its nice value stays."""
    number = _NUMBERS.get(os.uname().machine)
    if number is None:
        return False
    nice = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    attributes = _Attributes(size=ctypes.sizeof(_Attributes), policy=policy, nice=nice, runtime=turn)
    return bool(call(number, 0, ctypes.byref(attributes), 0) == 0)
