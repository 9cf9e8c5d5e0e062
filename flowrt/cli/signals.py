"""SIGTERM and SIGINT end, SIGHUP reloads."""

from __future__ import annotations

import signal
import threading


class Signals:
    """What was asked for since the last look. Made and restored by the main thread."""

    def __init__(self) -> None:
        self.happened = threading.Event()
        self.end = False
        self.reload = False
        self._before = {
            number: signal.signal(number, handler)
            for number, handler in (
                (signal.SIGTERM, self._on_end),
                (signal.SIGINT, self._on_end),
                (signal.SIGHUP, self._on_reload),
            )
        }

    def restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def ask_reload(self) -> None:
        """As SIGHUP does; from any thread."""
        self.reload = True
        self.happened.set()

    def _on_end(self, *_: object) -> None:
        self.end = True
        self.happened.set()

    def _on_reload(self, *_: object) -> None:
        self.ask_reload()
