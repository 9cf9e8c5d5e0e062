"""A cgroup v2 of a child's own, where the service manager delegates a part of the tree (`Delegate=yes`).

Source: Documentation/admin-guide/cgroup-v2.rst of the kernel, and systemd's CGROUP_DELEGATION. A group with children
may hold no processes, so the runtime moves itself into one called `main` first.
"""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path

from flowrt.quota.resources import Resources

ROOT = Path("/sys/fs/cgroup")
WANTED = ("cpu", "memory", "pids")
PERIOD = 100_000
"""Microseconds in which a share is measured: the kernel's default."""
PIDS_MAX = 64
RUNTIME_BYTES = 192 * 2**20
"""What interpreter and engines take beside a node's own memory. RLIMIT_DATA bounds it exactly: this is behind it."""


def delegated(root: Path = ROOT, own: Path = Path("/proc/self/cgroup")) -> Path | None:
    """The group of this process, when it is ours to divide and offers what we want; else None."""
    try:
        lines = own.read_text().splitlines()
        path = next((line[3:] for line in lines if line.startswith("0::/")), None)
        if path is None:
            return None
        group = root / path.lstrip("/")
        group = group.parent if group.name == "main" else group
        controllers = (group / "cgroup.controllers").read_text().split()
    except OSError:
        return None
    if not {"cpu", "memory"} <= set(controllers) or group == root:
        return None
    return group if os.access(group / "cgroup.subtree_control", os.W_OK) else None


class Cgroup:
    """One child's group. Raises `OSError` when the kernel refuses."""

    def __init__(self, parent: Path, name: str, memory: int, cpu: float | None) -> None:
        main = parent / "main"
        main.mkdir(exist_ok=True)
        with contextlib.suppress(OSError):  # it is there already
            (main / "cgroup.procs").write_text(str(os.getpid()))
        offered = (parent / "cgroup.controllers").read_text().split()
        enabled = " ".join(f"+{controller}" for controller in WANTED if controller in offered)
        (parent / "cgroup.subtree_control").write_text(enabled)
        self.path = parent / ("node-" + re.sub(r"[^\w.-]", "_", name))
        self.path.mkdir(exist_ok=True)
        (self.path / "memory.max").write_text(str(memory))
        with contextlib.suppress(OSError):  # without swap there is no such file
            (self.path / "memory.swap.max").write_text("0")
        if cpu is not None:
            (self.path / "cpu.max").write_text(f"{max(1000, int(cpu * PERIOD))} {PERIOD}")
        if "pids" in offered:
            (self.path / "pids.max").write_text(str(PIDS_MAX))

    def let_others_first(self, *, yes: bool) -> None:
        """Put the group behind those of anybody who wants a core, or back. Raises `OSError` before Linux 5.15."""
        (self.path / "cpu.idle").write_text(str(int(yes)))

    def take(self, pid: int) -> None:
        """Move a process in."""
        (self.path / "cgroup.procs").write_text(str(pid))


def cgroup_for(name: str, resources: Resources) -> Cgroup | None:
    """A group for a node's child, or None where there is none to be had: then resource limits alone hold."""
    parent = delegated()
    if parent is None:
        return None
    try:
        return Cgroup(parent, name, resources.memory + RUNTIME_BYTES, resources.cpu)
    except OSError:
        return None
