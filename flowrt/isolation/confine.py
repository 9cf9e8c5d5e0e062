"""What a child process gives up before it runs code that is not ours, and what bounds its memory.

No new privileges, no core dumps, few open files, and what the kernel refuses it from then on: system calls
(`seccomp.py`) and writing (`landlock.py`). Its threads are bounded by their stacks in the data limit and counted by the
parent.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import resource
import signal
import termios
from collections.abc import Sequence
from pathlib import Path

from flowrt.isolation.landlock import version, write_only
from flowrt.isolation.seccomp import can_filter, filter_calls

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38
_FILES_MAX = 256
"""Open files: each may hold some of the kernel's memory, as a pipe does."""


def confine(parent: int, writable: Sequence[Path]) -> str:
    """Confine this process, before it has a second thread, to writing below the folders given and to the life of its
    parent; what could not be done, in words, or nothing."""
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it has ended already
        os._exit(0)
    _leave_terminal()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (_FILES_MAX, _FILES_MAX))
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return "no_new_privs cannot be set"
    if not write_only(writable):
        written = "this kernel has no Landlock, so it may write where the service may"
        return written if filter_calls() else f"{written}; nor can system calls be filtered on this machine"
    return "" if filter_calls() else "system calls cannot be filtered on this machine"


def _leave_terminal() -> None:
    """It is in the session of its parent, and would be heard as the keyboard there."""
    with contextlib.suppress(OSError):  # it has none
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY)
        try:
            fcntl.ioctl(terminal, termios.TIOCNOTTY)
        finally:
            os.close(terminal)


def confinement() -> str:
    """What this machine offers to confine processes with, in words."""
    calls = "system calls filtered" if can_filter() else "no filter of system calls for this machine"
    return f"{calls}, {f'Landlock {offered}' if (offered := version()) else 'no Landlock: it may write anywhere'}"


def data_bytes(process: int | str) -> int:
    """Private writable memory of a process: what RLIMIT_DATA bounds. 0 when it is gone."""
    return _statm(process)[5] * resource.getpagesize()


def _statm(process: int | str) -> list[int]:
    try:
        return list(map(int, Path(f"/proc/{process}/statm").read_text().split()))
    except OSError:
        return [0] * 7
