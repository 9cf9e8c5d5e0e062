"""A child process as its parent holds it: started, limited, asked, made to wait, ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flowrt.errors import GuestTrap, StartError
from flowrt.isolation import landlock
from flowrt.isolation.cgroup import Cgroup
from flowrt.isolation.channel import Channel, readable
from flowrt.isolation.confine import data_bytes
from flowrt.isolation.frame import BadFrame, Block, read, write
from flowrt.isolation.idle import NURSERY
from flowrt.quota.meter import Meter
from flowrt.quota.priority import Priority

PAGE = resource.getpagesize()
COME_UP_SECONDS = 120.0
"""Longest that a child may take to come up, which is our own code alone: a second, and minutes where a machine is
emulated."""
START_SECONDS = 30.0
"""Longest that it may take to load its node."""
WAITING = 10
"""So many times as long as it may take, it may wait for a core: on a busy machine that is not its fault."""
ASLEEP_SECONDS = 0.2
"""When at every look for so long all threads of a child past its time sleep, it waits, but not for a core."""
LOOK_SECONDS = 0.01
"""How often a child that works is looked at: what it may overdraw its share by."""
BEHIND_SECONDS = 0.05
"""The same for one that others go before."""
GIVE_WAY_SECONDS = 5.0
"""Longest that one which is started again stays behind others for that: half a second of work, of which it gets nothing
where others want all cores."""
WARY_SECONDS = 0.001
"""When one that was started again is looked at first after it was asked; each time then lasts twice as long. A thread
costs others something when it ends too, and a thousand are soon made."""
THREADS_MAX = 64
"""Threads of one child; an engine of ours has three."""
RESTLESS_SECONDS = 0.005
"""Of processor time that a child may use after it has answered: what it has begun comes to its end in less."""
_ENVIRONMENT = ("PATH", "LANG", "HOME", "PYTHONPATH", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "CACHE_DIRECTORY", "TMPDIR")
_PROGRAM = "flowrt.runtime.isolated"
_pread = ctypes.PyDLL(None).pread
"""Keeps the interpreter's lock: who lets go of it has to be woken to have it back, on the core that the child works on,
and whoever waits for the lock waits for that."""
_pread.argtypes, _pread.restype = (ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_long), ctypes.c_ssize_t


class Child:
    """One process. Used by one thread at a time; `close`, `held` and `look` from any."""

    def __init__(
        self, size: int, meter: Meter, cgroup: Cgroup | None, writable: Sequence[Path] = (), *, again: bool = False
    ) -> None:
        """Start it, `again` after one that died, and wait until it can be asked. It may write below the folders
        `writable`. Raises `StartError`."""
        self.channel = Channel.make(size)
        self._meter, self._cgroup = meter, cgroup
        inherited = self.channel.descriptors
        command = [sys.executable, "-m", _PROGRAM, *map(str, (os.getpid(), *inherited, size, *writable))]
        self._changing = threading.Lock()
        """Held while it is stopped or let go on."""
        self._asked = True
        """Somebody waits for it, if only to come up."""
        self._behind = False
        """Others go before it, because it is past its share, or because it is started again."""
        self._again = again
        self._until = time.monotonic() + GIVE_WAY_SECONDS if again else 0.0
        """It stays behind until then, unless it has loaded its node before."""
        self._stopped = self._restless = self._closed = False
        """It is stopped at present; and it is to be whenever nobody waits for it, because it works then."""
        try:
            self._process = NURSERY.start(self, lambda: _started(command, inherited))
        except OSError as error:
            self.channel.close()
            raise StartError(f"a process cannot be started: {error.strerror}") from error
        self.pid = self._process.pid
        self._descriptors: list[int] = []
        """To be closed in the end."""
        self._clock = (~self.pid << 3) | 2
        """The kernel's clock of the process, all its threads: clock_getcpuclockid(3)."""
        self._counted = 0.0
        self._bound = sys.maxsize
        """Bytes of data it may have."""
        self.unconfined = ""
        """What it could not give up, in words."""
        self.baseline = 0
        """Bytes it held before it loaded anything of a node's."""
        try:
            self._come_up()
        except (GuestTrap, OSError) as error:
            self.close()
            why = error.detail if isinstance(error, GuestTrap) else str(error)
            raise StartError(f"a process does not come up: {why}") from error
        except BaseException:
            self.close()
            raise

    def _come_up(self) -> None:
        self._ended = self._opened(os.pidfd_open(self.pid))
        # Kept open: to open a file lets go of the interpreter's lock five times, for each look at a child.
        flags = os.O_RDONLY | os.O_CLOEXEC
        self._looks = [self._opened(os.open(f"/proc/{self.pid}/{name}", flags)) for name in ("stat", "statm")]
        if self._cgroup is not None:
            self._cgroup.take(self.pid)
        self._let_others_first(yes=self._again)
        self.unconfined = str(self.answer(COME_UP_SECONDS)[0].get("unconfined", ""))
        self.baseline = data_bytes(self.pid)

    def _opened(self, descriptor: int) -> int:
        self._descriptors.append(descriptor)
        return descriptor

    def alive(self) -> bool:
        return self._process.poll() is None

    def limit(self, more: int) -> None:
        """Bound its data to what it holds now and `more` bytes."""
        bound = self._bound = data_bytes(self.pid) + more
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(self.pid, resource.RLIMIT_DATA, (bound, bound))

    def started(self) -> None:
        """It has loaded its node."""
        self._until = 0.0
        self._move_up()

    def look(self) -> None:
        """Stop it if it works, or grows, although nobody waits for it."""
        with self._changing:
            if not (self._asked or self._stopped or self._closed) and (
                self._idled() > RESTLESS_SECONDS or self._swollen()
            ):
                self._restless = self._stopped = True
                self._signal(signal.SIGSTOP)

    def held(self) -> int:
        """Bytes it holds for its node; safe from any thread."""
        return max(0, data_bytes(self.pid) - self.baseline)

    def ask(self, about: dict[str, Any], blocks: Sequence[Block | None] = ()) -> None:
        """Raises `BadFrame` when that does not fit."""
        write(self.channel.request, about, blocks)
        with self._changing:
            self._asked = True
            if self._stopped:
                self._stopped = False
                self._signal(signal.SIGCONT)
            elif self._idled() > RESTLESS_SECONDS:
                self._restless = True
        os.eventfd_write(self.channel.asked, 1)

    def answer(self, seconds: float) -> tuple[dict[str, Any], list[Block | None]]:
        """Its answer within `seconds` of its processor time, or `WAITING` times as long unless it sleeps; waits for its
        share do not count. Raises `GuestTrap`, of kind `deadline` when it takes longer, of kind `crash` when it dies;
        either way it is gone then."""
        due = time.monotonic() + seconds
        last = due + (WAITING - 1) * seconds
        most = self._counted + seconds
        answered, asleep = self.channel.answered, 0.0
        pause = WARY_SECONDS if self._again and not self._until else LOOK_SECONDS
        while True:
            ready = readable((answered, self._ended), pause)
            paused, pause = pause, min(2 * pause, BEHIND_SECONDS if self._behind else LOOK_SECONDS)
            self._count()
            if answered in ready:
                os.eventfd_read(answered)
                self._calm()
                try:
                    return read(self.channel.reply)
                except BadFrame as error:
                    self.close()
                    raise GuestTrap("abi", f"its process answered nonsense: {error}") from error
            if self._ended in ready:
                raise GuestTrap("crash", self._obituary())
            if (now := time.monotonic()) > due:
                asleep = asleep + paused if _asleep(self.pid) else 0.0
            if now > last or (now > due and (self._counted > most or asleep >= ASLEEP_SECONDS)):
                self.close()
                raise GuestTrap("deadline", f"its process took longer than {seconds:g} s")
            if (threads := self._threads()) > THREADS_MAX:
                self.close()
                raise GuestTrap("crash", f"its process was ended: it had {threads} threads")
            if self._swollen():
                self.close()
                raise GuestTrap("memory", "its process was ended: it held more than its memory by a trick")
            held_back = self._hold_back()
            due, last = due + held_back, last + held_back

    def close(self) -> None:
        """End it. Safe to call twice."""
        NURSERY.leave(self)
        if self._process.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            self._process.kill()  # should it have left its group
        self._process.wait()
        with self._changing:
            if not self._closed:
                self._closed = True
                for descriptor in self._descriptors:
                    os.close(descriptor)
                self.channel.close()

    def _calm(self) -> None:
        """Nobody waits for it: what threads of its own do now would be at nobody's cost."""
        with self._changing:
            self._asked = False
            if self._restless:
                self._stopped = True
                self._signal(signal.SIGSTOP)

    def _idled(self) -> float:
        """Seconds of processor time it has used since its last answer."""
        try:
            return time.clock_gettime(self._clock) - self._counted
        except OSError:  # it is gone
            return 0.0

    def _swollen(self) -> bool:
        """Whether it holds more than its data may be: pages that were written and then made read-only are not data."""
        _, resident, shared, *_ = self._read(1, b"0 0 0").split()
        return (int(resident) - int(shared)) * PAGE > 1.05 * self._bound

    def _threads(self) -> int:
        """Source: the twentieth field of `/proc/PID/stat`, counted from behind the name in brackets."""
        return int(self._read(0, b")" + b" 0" * 18).rpartition(b")")[2].split()[17])

    def _read(self, which: int, gone: bytes) -> bytes:
        """What the kernel says of it at present, or `gone`."""
        words = ctypes.create_string_buffer(1024)
        size = _pread(self._looks[which], words, len(words), 0)
        return words.raw[:size] if size > 0 else gone

    def _signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._ended, number)

    def _count(self) -> None:
        with contextlib.suppress(OSError):  # it is gone
            now = time.clock_gettime(self._clock)
            self._meter.add(now - self._counted)
            self._counted = now

    def _hold_back(self) -> float:
        """Stop it for as long as it is over its share; the seconds that took."""
        owed = self._meter.owed()
        if owed <= 0:
            self._move_up()
            return 0.0
        if not self._behind:
            self._let_others_first(yes=True)
        self._signal(signal.SIGSTOP)
        try:
            return self._meter.wait(owed)
        finally:
            self._signal(signal.SIGCONT)

    def _move_up(self) -> None:
        """It has its place among the others again, if it is behind them for no reason."""
        if self._behind and self._meter.rested() and time.monotonic() >= self._until:
            self._let_others_first(yes=False)

    def _let_others_first(self, *, yes: bool) -> None:
        """Put it behind anybody who wants a core, or back, where either can be done. Threads that it starts are as the
        ones it has."""
        if self._cgroup is not None:
            with contextlib.suppress(OSError):
                self._cgroup.let_others_first(yes=yes)
                self._behind = yes
                return
        if yes == self._behind or not Priority.can_yield():
            return
        self._behind = yes
        policy = os.SCHED_IDLE if yes else os.SCHED_OTHER
        with contextlib.suppress(OSError):  # it is gone
            for thread in Path(f"/proc/{self.pid}/task").iterdir():
                with contextlib.suppress(ProcessLookupError):
                    os.sched_setscheduler(int(thread.name), policy, os.sched_param(0))

    def _obituary(self) -> str:
        status = self._process.wait()
        if status >= 0:
            return f"its process ended with status {status}"
        name = signal.Signals(-status).name if -status in set(signal.Signals) else str(-status)
        return f"its process was ended by {name}"


def _started(command: Sequence[str], inherited: Sequence[int]) -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
    # A session of its own would have as much of a core as all of us, whatever its priority: sched(7), autogroups. In
    # ours it could change the priority of us all, by a file that only Landlock keeps it from.
    in_session = landlock.version() > 0
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        command,
        pass_fds=inherited,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**environment, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        process_group=0 if in_session else None,
        start_new_session=not in_session,
    )


def _asleep(pid: int) -> bool:
    """Whether no thread of a process runs, wants a core or waits for a disk.

    Source: the third field of `/proc/PID/task/TID/stat`, behind a name in brackets.
    """
    try:
        stats = [(task / "stat").read_bytes() for task in Path(f"/proc/{pid}/task").iterdir()]
    except OSError:
        return False
    return all(stat.rpartition(b")")[2].split()[:1] == [b"S"] for stat in stats)
