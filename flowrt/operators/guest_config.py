"""What operations with a module share."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from flowrt.operators.base import Operation


class GuestOperation(Operation):
    """An operation whose code is a WebAssembly module."""

    module: str = Field(min_length=1, max_length=1024)
    """`[path/]name[:tag]`, looked up in the module folders."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """Digest the module must have, in hexadecimal."""
    grants: tuple[Literal["clock", "random"], ...] = ()
    """What of WASI the guest may use. Nothing is granted unless it stands here."""
    state: Literal["shared", "perTopic"] = "shared"
    """Whether the module keeps each topic's state apart. `perTopic` lets `flowrt run --workers` divide the topics."""
