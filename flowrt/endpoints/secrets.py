"""Secrets that endpoints are given: in files, or by systemd."""

from __future__ import annotations

import os
from pathlib import Path


def secret(file: Path | None, credential: str | None) -> str | None:
    """What a file holds, or the systemd credential of a name; None where neither is given.

    Raises OSError for a file that cannot be read, and ValueError for a credential where systemd gives none."""
    if credential is not None:
        folder = os.environ.get("CREDENTIALS_DIRECTORY")
        if folder is None:
            raise ValueError(f"the credential '{credential}' is given by systemd, which did not start this program")
        file = Path(folder) / credential
    return file.read_text(encoding="utf-8").rstrip("\r\n") if file is not None else None
