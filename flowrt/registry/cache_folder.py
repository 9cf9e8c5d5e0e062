"""Where what can be made again is kept: compiled code, models that modules carry."""

from __future__ import annotations

import os
from pathlib import Path

DIGEST_CHARACTERS = 16
"""Of a module's digest, in the name of a file of compiled code."""


def cache_folder() -> Path | None:
    """`$CACHE_DIRECTORY` (of a systemd service), `$XDG_CACHE_HOME/flowrt` or `~/.cache/flowrt`."""
    if systemd := os.environ.get("CACHE_DIRECTORY"):
        return Path(systemd.split(":")[0])
    if (xdg := os.environ.get("XDG_CACHE_HOME")) and Path(xdg).is_absolute():
        return Path(xdg) / "flowrt"
    try:
        return Path.home() / ".cache" / "flowrt"
    except RuntimeError:  # no home folder
        return None
