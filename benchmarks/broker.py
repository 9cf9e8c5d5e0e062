"""A Mosquitto that drops nothing while a slow subscriber catches up, and that tells who has subscribed."""

from __future__ import annotations

import shutil
import socket
import tempfile
import time
from pathlib import Path

from benchmarks.processes import BenchError, Process

HOST, PORT = "127.0.0.1", 18830
CONFIG = f"""listener {PORT} {HOST}
allow_anonymous true
max_queued_messages 0
max_queued_bytes 0
max_inflight_messages 1000
set_tcp_nodelay true
log_dest stderr
log_type subscribe
log_type warning
log_type error
"""
"""`log_type subscribe` is how the bench knows, for every system alike, that a subscription stands."""


def require_free(port: int, purpose: str) -> None:
    """Raise `BenchError` when something listens at a port that the bench needs."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            raise BenchError(f"{HOST}:{port} is taken; it is needed for {purpose}: stop what listens there") from None


class Broker(Process):
    """Mosquitto at the port that the graphs of this folder name."""

    def __init__(self) -> None:
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        if not Path(program).exists() or not shutil.which("mosquitto_pub"):
            raise BenchError("the bench needs Mosquitto: apt install mosquitto mosquitto-clients")
        require_free(PORT, "the bench's broker")
        self._config = tempfile.NamedTemporaryFile("w", prefix="bench-", suffix=".conf")  # noqa: SIM115 - closed in close
        self._config.write(CONFIG)
        self._config.flush()
        super().__init__("the broker", [program, "-c", self._config.name])

    def start(self) -> None:
        super().start()
        until = time.monotonic() + 5
        while time.monotonic() < until:
            self.check()
            with socket.socket() as probe:
                if probe.connect_ex((HOST, PORT)) == 0:
                    return
            time.sleep(0.02)
        raise BenchError("the broker did not start within 5 s")

    def restart(self) -> None:
        """Begin anew, without the sessions and queues that earlier clients have left."""
        self.stop()
        self.start()

    def close(self) -> None:
        super().close()
        self._config.close()

    def subscriptions(self, topic: str) -> int:
        """How often a filter has been subscribed to since the broker was started."""
        return sum(line.endswith(f" {topic}") for line in self.output().splitlines())

    def wait_subscribed(self, topic: str, since: int, who: Process, timeout: float = 30.0) -> None:
        """Wait for more than `since` subscriptions to `topic`. Raises `BenchError` when `who` ends first."""
        until = time.monotonic() + timeout
        while self.subscriptions(topic) <= since:
            who.check()
            if time.monotonic() > until:
                raise BenchError(f"{who.name} did not subscribe to {topic} within {timeout:.0f} s:\n{who.output()}")
            time.sleep(0.01)
