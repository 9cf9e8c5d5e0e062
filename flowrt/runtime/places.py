"""Where a runtime keeps what must survive a restart."""

from __future__ import annotations

import os
from pathlib import Path

STATE_STORE = "state-store.sqlite"
"""The file of what operators keep."""


def state_folder(asked: Path | None = None) -> Path:
    """`--state`, else systemd's `STATE_DIRECTORY`, else `$XDG_STATE_HOME/flowrt`, else `~/.local/state/flowrt`."""
    if asked is not None:
        return asked
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state"
    return Path(home) / "flowrt"
