"""A Mosquitto of one's own on a free port of 127.0.0.1, for as long as it is needed."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from flowrt.demo.process import free_port
from flowrt.errors import StartError

_ANSWERS_WITHIN_S = 10.0
_CONFIG = "listener {port} 127.0.0.1\nallow_anonymous true\nmax_queued_messages 0\nmax_inflight_messages 1000\n"


class Mosquitto:
    """Runs from `__enter__` to `__exit__`; its configuration lies in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self._config = folder / "mosquitto.conf"

    def __enter__(self) -> Self:
        """Raises StartError without a mosquitto, or when it does not answer."""
        program = shutil.which("mosquitto") or shutil.which("/usr/sbin/mosquitto")
        if program is None:
            raise StartError(
                "no mosquitto here; install the package mosquitto, or name a broker with --broker HOST:PORT"
            )
        self._config.write_text(_CONFIG.format(port=self.port), encoding="utf-8")
        self._process = subprocess.Popen(  # noqa: S603
            [program, "-c", str(self._config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + _ANSWERS_WITHIN_S
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.__exit__(None, None, None)
                raise StartError(f"{program} does not answer at {self.host}:{self.port}")
            time.sleep(0.02)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            socket.create_connection((self.host, self.port), 1).close()
        except OSError:
            return False
        return True
