"""The system calls that a child may not make, as a filter that the kernel keeps to: Linux on x86-64 and aarch64.

No new processes, no other programs, no sockets, no look into other processes, no signal to them and no hand on their
limits or priorities, no process group but its own, no memory that is nobody's data. Threads are allowed.

Source: seccomp(2), `linux/seccomp.h`, `linux/filter.h`; numbers from `asm/unistd.h`, which a test compares.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct

_PR_SET_SECCOMP, _FILTER = 22, 2
_LOAD, _AND, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x45, 0x06
_ALLOW, _FAIL = 0x7FFF0000, 0x00050000
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_X32 = 0x40000000
"""From here on x86-64 numbers the same calls for 32-bit pointers."""
_CLONE_THREAD = 0x10000
_SHARED_ANONYMOUS = 0x21
_SENDS_SIGNALS = (8, 10, 15)
"""F_SETOWN, F_SETSIG, F_SETOWN_EX: together they send any signal to any process."""

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""As the kernel's audit names them."""
SELDOM = {
    "x86_64": {"clone": 56, "clone3": 435, "prlimit64": 302, "tgkill": 234, "fcntl": 72, "mmap": 9},
    "aarch64": {"clone": 220, "clone3": 435, "prlimit64": 261, "tgkill": 131, "fcntl": 25, "mmap": 222},
}
"""Calls whose arguments decide."""
NEVER = {
    "x86_64": {
        "fork": 57, "vfork": 58, "execve": 59, "execveat": 322, "unshare": 272, "setns": 308,
        "ptrace": 101, "process_vm_readv": 310, "process_vm_writev": 311, "kcmp": 312, "pidfd_getfd": 438,
        "kill": 62, "tkill": 200, "rt_sigqueueinfo": 129, "rt_tgsigqueueinfo": 297, "pidfd_send_signal": 424,
        "setrlimit": 160, "setpriority": 141, "ioprio_set": 251, "sched_setaffinity": 203, "sched_setscheduler": 144,
        "sched_setparam": 142, "sched_setattr": 314, "migrate_pages": 256, "move_pages": 279, "process_madvise": 440,
        "process_mrelease": 448,
        "socket": 41, "socketpair": 53, "connect": 42, "io_uring_setup": 425, "userfaultfd": 323, "bpf": 321,
        "perf_event_open": 298, "memfd_create": 319, "memfd_secret": 447, "shmget": 29, "add_key": 248,
        "request_key": 249, "keyctl": 250,
        "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "open_by_handle_at": 304, "reboot": 169,
        "init_module": 175, "finit_module": 313, "delete_module": 176, "kexec_load": 246, "swapon": 167,
        "settimeofday": 164, "clock_settime": 227, "adjtimex": 159, "clock_adjtime": 305, "sethostname": 170,
        "setpgid": 109, "setsid": 112, "acct": 163, "syslog": 103, "iopl": 172, "ioperm": 173,
    },
    "aarch64": {
        "execve": 221, "execveat": 281, "unshare": 97, "setns": 268,
        "ptrace": 117, "process_vm_readv": 270, "process_vm_writev": 271, "kcmp": 272, "pidfd_getfd": 438,
        "kill": 129, "tkill": 130, "rt_sigqueueinfo": 138, "rt_tgsigqueueinfo": 240, "pidfd_send_signal": 424,
        "setrlimit": 164, "setpriority": 140, "ioprio_set": 30, "sched_setaffinity": 122, "sched_setscheduler": 119,
        "sched_setparam": 118, "sched_setattr": 274, "migrate_pages": 238, "move_pages": 239, "process_madvise": 440,
        "process_mrelease": 448,
        "socket": 198, "socketpair": 199, "connect": 203, "io_uring_setup": 425, "userfaultfd": 282, "bpf": 280,
        "perf_event_open": 241, "memfd_create": 279, "memfd_secret": 447, "shmget": 194, "add_key": 217,
        "request_key": 218, "keyctl": 219,
        "mount": 40, "umount2": 39, "pivot_root": 41, "chroot": 51, "open_by_handle_at": 265, "reboot": 142,
        "init_module": 105, "finit_module": 273, "delete_module": 106, "kexec_load": 104, "swapon": 224,
        "settimeofday": 170, "clock_settime": 112, "adjtimex": 171, "clock_adjtime": 266, "sethostname": 161,
        "setpgid": 154, "setsid": 157, "acct": 89, "syslog": 116,
    },
}  # fmt: skip
"""Calls that are refused whatever their arguments."""


def can_filter() -> bool:
    """Whether we know this machine's calls."""
    return platform.machine() in ARCHITECTURES


def filter_calls() -> bool:
    """Refuse them to this process for good, which must have set `no_new_privs` and has one thread; whether that could
    be done."""
    if not can_filter():
        return False
    program = _program(platform.machine())
    code = ctypes.create_string_buffer(program, len(program))
    header = struct.pack("@HxxxxxxP", len(program) // 8, ctypes.addressof(code))
    return not ctypes.CDLL(None).prctl(_PR_SET_SECCOMP, _FILTER, ctypes.c_char_p(header), 0, 0)


def _program(machine: str) -> bytes:
    """The filter's instructions."""
    lines = [
        _line(_LOAD, _ARCHITECTURE),
        _line(_EQUAL, ARCHITECTURES[machine], 1, 0),
        _refused(),
        _line(_LOAD, _NUMBER),
    ]
    for name, number in SELDOM[machine].items():
        lines += _unless(number, _judged(name))
    for number in NEVER[machine].values():
        lines += _unless(number, [_refused()])
    if machine == "x86_64":
        lines += [_line(_AT_LEAST, _X32, 0, 1), _refused()]
    return b"".join([*lines, _allowed()])


def _judged(name: str) -> list[bytes]:
    """What decides about a call, to the end; what was loaded before is lost."""
    match name:
        case "clone3":  # hides its flags behind a pointer: the C library falls back to clone, whose flags can be seen
            return [_refused(errno.ENOSYS)]
        case "clone":
            return [_argument(0), _line(_ANY_BIT, _CLONE_THREAD, 0, 1), _allowed(), _refused()]
        case "prlimit64":  # asking is allowed, setting is not
            return [_argument(2), _line(_EQUAL, 0, 0, 3), _argument(2, high=True), _line(_EQUAL, 0, 0, 1),
                    _allowed(), _refused()]  # fmt: skip
        case "tgkill":  # abort() sends itself a signal
            return [_argument(0), _line(_EQUAL, os.getpid(), 0, 1), _allowed(), _refused()]
        case "fcntl":
            return [_argument(1), *(part for each in _SENDS_SIGNALS for part in _unless(each, [_refused()])),
                    _allowed()]  # fmt: skip
    # mmap: pages that are shared and belong to no file count as nobody's data
    return [_argument(3), _line(_AND, _SHARED_ANONYMOUS), *_unless(_SHARED_ANONYMOUS, [_refused()]), _allowed()]


def _unless(value: int, then: list[bytes]) -> list[bytes]:
    """`then` where what is loaded equals the value."""
    return [_line(_EQUAL, value, 0, len(then)), *then]


def _argument(number: int, *, high: bool = False) -> bytes:
    """Load one half of an argument; the low one says all of what is no pointer."""
    return _line(_LOAD, _ARGUMENTS + 8 * number + 4 * high)


def _refused(number: int = errno.EPERM) -> bytes:
    return _line(_RETURN, _FAIL | number)


def _allowed() -> bytes:
    return _line(_RETURN, _ALLOW)


def _line(code: int, value: int, if_true: int = 0, if_false: int = 0) -> bytes:
    return struct.pack("<HBBI", code, if_true, if_false, value)
