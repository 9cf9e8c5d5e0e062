"""A Mosquitto that keeps what it has acknowledged, on a port of its own, and that can be killed fairly."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, sleep

from benchmarks.processes import BenchError, Process

HOST = "127.0.0.1"
INFLIGHT = 100
"""Messages under way to one client, as asked for; Mosquitto 2.0.11 had as many as 219 under way all the same."""
KEEPS = ("persistence true", "autosave_on_changes true", "autosave_interval 1")
"""With these it loses nothing that it acknowledged, and writes everything it holds anew after each packet."""
FORGETS = ("persistence false",)
"""For loads with which it could not keep up so, where it is not killed."""
_EPOLL_CALLS = {"x86_64": {232, 281, 441}, "aarch64": {22, 441}}
"""epoll_wait, epoll_pwait, epoll_pwait2."""


class FaultBroker(Process):
    """Mosquitto with `persistence`, `autosave_on_changes true` and `autosave_interval 1`: with plain persistence it
    loses what it acknowledged."""

    def __init__(self, *extra: str) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        if not Path(program).exists():
            raise BenchError("the fault bench needs Mosquitto: apt install mosquitto")
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="flowrt-faults-broker-"))
        lines = [
            f"listener {self.port} {HOST}",
            "allow_anonymous true",
            f"persistence_location {self.folder}/",
            "max_queued_messages 0",
            "max_queued_bytes 0",
            "set_tcp_nodelay true",
            "log_dest stderr",
            "log_type subscribe",
            "log_type error",
            *_with_defaults(extra, *KEEPS, f"max_inflight_messages {INFLIGHT}"),
            *(["user root"] if os.getuid() == 0 else []),
        ]
        config = self.folder / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        super().__init__("the broker", [program, "-c", str(config)])

    def start(self) -> None:
        super().start()
        until = monotonic() + 15
        while monotonic() < until:
            self.check()
            with socket.socket() as probe:
                if probe.connect_ex((HOST, self.port)) == 0:
                    return
            sleep(0.02)
        raise BenchError("the broker did not start within 15 s")

    def kill_between_saves(self) -> None:
        """End it at once, at a moment at which it waits for clients: then all that it acknowledged is in its file.

        Mosquitto answers first and saves a moment later, so a kill in between loses what it acknowledged, whoever the
        client is. That is not what this bench asks about.
        """
        for _ in range(2000):
            os.kill(self.pid, signal.SIGSTOP)
            if _waits_for_clients(self.pid):
                break
            os.kill(self.pid, signal.SIGCONT)
            sleep(0.001)
        else:
            raise BenchError("the broker was never found waiting for its clients")
        self.kill()

    def close(self) -> None:
        super().close()
        shutil.rmtree(self.folder, ignore_errors=True)


def _waits_for_clients(pid: int) -> bool:
    """Whether a stopped process was stopped in a wait for its sockets."""
    until = monotonic() + 1
    while _state(pid) != "T" and monotonic() < until:
        sleep(0.0002)
    call = Path(f"/proc/{pid}/syscall").read_text().split()[0]
    return call.isdecimal() and int(call) in _EPOLL_CALLS.get(os.uname().machine, set())


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _with_defaults(extra: Sequence[str], *defaults: str) -> list[str]:
    """The lines, and each default unless one of them sets the same."""
    names = {line.split()[0] for line in extra}
    return [*extra, *(line for line in defaults if line.split()[0] not in names)]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
