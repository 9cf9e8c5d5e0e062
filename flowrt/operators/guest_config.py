"""What operations with a module share."""

from __future__ import annotations

from typing import Literal

from flowrt.operators.base import Operation
from flowrt.options import Field, Options


class GrantedFolder(Options):
    """A folder of the gateway that a component may use."""

    path: str = Field(min_length=1, max_length=4096)
    """Where it is, relative to the graph's folder."""
    at: str = Field("/", min_length=1, max_length=4096)
    """Its name for the component."""
    write: bool = False
    """Whether the component may change what is in it."""


class GuestOperation(Operation):
    """An operation whose code is a WebAssembly module."""

    module: str = Field(min_length=1, max_length=1024)
    """`[path/]name[:tag]`, looked up in the module folders."""
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    """Digest the module must have, in hexadecimal."""
    grants: tuple[Literal["clock", "random", "network"], ...] = ()
    """What of WASI the guest may use. Nothing is granted unless it stands here. `network` is a component's only."""
    folders: tuple[GrantedFolder, ...] = Field((), max_length=64)
    """Folders that a component may use."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Environment variables that a component sees."""
    keep_state: Literal["memory", "disk"] = "memory"
    """Where the state is kept of a module that exports `flowrt_save`. `memory`: it survives a trap. `disk`: it survives
    a stop and a crash too; a message is acknowledged once the state that it left is written. Unset, it is `memory`, and
    `flowrt check` warns where that forgets what acknowledged messages left."""
    state: Literal["shared", "perTopic"] = "shared"
    """Whether the module keeps each topic's state apart. `perTopic` lets `flowrt run --workers` divide the topics."""
