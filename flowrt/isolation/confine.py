"""What a child process gives up before it runs code that is not ours: Linux on x86-64 and aarch64.

No new privileges, no core dumps, a bound on its data, and a seccomp filter: no new processes, no other programs, no
sockets, no look into or signal to other processes, no change of its limits. Threads are allowed, bounded by their
stacks in the data limit and counted by the parent.

Source: seccomp(2), `linux/seccomp.h`, `linux/filter.h`; numbers from `asm/unistd.h`.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import resource
import struct
from pathlib import Path

_PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS, _FILTER = 22, 38, 2
_LOAD, _EQUAL, _ANY_BIT, _RETURN = 0x20, 0x15, 0x45, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NUMBER, _ARCH, _FIRST, _THIRD = 0, 4, 16, 32
_CLONE_THREAD = 0x10000
_MACHINES = {
    "x86_64": (0xC000003E, {
        "clone": 56, "clone3": 435, "prlimit64": 302, "fork": 57, "vfork": 58, "execve": 59, "execveat": 322,
        "ptrace": 101, "kill": 62, "socket": 41, "connect": 42, "process_vm_readv": 310, "process_vm_writev": 311,
        "unshare": 272, "setns": 308, "mount": 165, "bpf": 321, "setrlimit": 160, "pidfd_send_signal": 424,
        "pidfd_getfd": 438, "io_uring_setup": 425, "userfaultfd": 323, "perf_event_open": 298,
    }),
    "aarch64": (0xC00000B7, {
        "clone": 220, "clone3": 435, "prlimit64": 261, "execve": 221, "execveat": 281, "ptrace": 117, "kill": 129,
        "socket": 198, "connect": 203, "process_vm_readv": 270, "process_vm_writev": 271, "unshare": 97, "setns": 268,
        "mount": 40, "bpf": 280, "setrlimit": 164, "pidfd_send_signal": 424, "pidfd_getfd": 438,
        "io_uring_setup": 425, "userfaultfd": 282, "perf_event_open": 241,
    }),
}  # fmt: skip
"""The audit architecture, and system calls by name. All but the first three are refused whatever their arguments."""


def confine() -> bool:
    """Confine this process, before it has a second thread; whether the filter could be set."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0):
        return False
    program = _program()
    if program is None:
        return False
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HxxxxxxP" if ctypes.sizeof(ctypes.c_void_p) == 8 else "@HxxP", len(program) // 8,
                         ctypes.addressof(code))  # fmt: skip
    return not libc.prctl(_PR_SET_SECCOMP, _FILTER, ctypes.c_char_p(header), 0, 0)


def bound_data(more: int) -> int:
    """Allow `more` bytes of data (heap, anonymous memory, stacks of threads) beyond what there is; gives what there
    is."""
    here = data_bytes("self")
    resource.setrlimit(resource.RLIMIT_DATA, (here + more, here + more))
    return here


def data_bytes(process: int | str) -> int:
    """Private writable memory of a process: what RLIMIT_DATA bounds. 0 when it is gone."""
    try:
        fields = Path(f"/proc/{process}/statm").read_text().split()
    except OSError:
        return 0
    return int(fields[5]) * resource.getpagesize() if len(fields) > 5 else 0


def _program() -> bytes | None:
    """The filter's instructions, or None where we do not know the machine's numbers."""
    found = _MACHINES.get(platform.machine())
    if found is None:
        return None
    architecture, numbers = found
    rest = [number for name, number in numbers.items() if name not in ("clone", "clone3", "prlimit64")]
    lines = [
        _line(_LOAD, 0, 0, _ARCH),
        _line(_EQUAL, 1, 0, architecture),
        _line(_RETURN, 0, 0, _FAIL | errno.EPERM),
        _line(_LOAD, 0, 0, _NUMBER),
        # clone3 hides its flags behind a pointer: the C library falls back to clone, whose flags can be seen.
        _line(_EQUAL, 0, 1, numbers["clone3"]),
        _line(_RETURN, 0, 0, _FAIL | errno.ENOSYS),
        _line(_EQUAL, 0, 4, numbers["clone"]),
        _line(_LOAD, 0, 0, _FIRST),
        _line(_ANY_BIT, 0, 1, _CLONE_THREAD),
        _line(_RETURN, 0, 0, _ALLOW),
        _line(_RETURN, 0, 0, _FAIL | errno.EPERM),
        _line(_EQUAL, 0, 4, numbers["prlimit64"]),
        _line(_LOAD, 0, 0, _THIRD),  # asking is allowed, setting is not
        _line(_EQUAL, 0, 1, 0),
        _line(_RETURN, 0, 0, _ALLOW),
        _line(_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]
    for number in rest:
        lines += [_line(_EQUAL, 0, 1, number), _line(_RETURN, 0, 0, _FAIL | errno.EPERM)]
    if platform.machine() == "x86_64":  # the 32-bit-pointer calls have numbers of their own
        lines += [_line(0x35, 0, 1, 0x40000000), _line(_RETURN, 0, 0, _FAIL | errno.EPERM)]
    return b"".join([*lines, _line(_RETURN, 0, 0, _ALLOW)])


def _line(code: int, if_true: int, if_false: int, value: int) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
