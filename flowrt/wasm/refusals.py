"""The calls of WASI that one node's guests make without a grant: counted by name, and told once each."""

from __future__ import annotations

from flowrt.wasm.log import GuestLog

_GRANTS = {
    "clock": ("now", "resolution", "clock_time_get", "clock_res_get"),
    "random": (
        "get-random-bytes", "get-random-u64", "get-insecure-random-bytes", "get-insecure-random-u64", "insecure-seed",
        "random_get",
    ),
    "network": ("create-tcp-socket", "create-udp-socket", "resolve-addresses"),
    "folders": ("get-directories",),
    "environment": ("get-environment",),
}  # fmt: skip
_GRANT = {call: grant for grant, calls in _GRANTS.items() for call in calls}


class Refusals:
    """Called with the name of each refused call; a fresh instance of the same node does not tell it again."""

    def __init__(self, log: GuestLog, denied: dict[str, int]) -> None:
        """`denied` are the node's counts by name."""
        self._log = log
        self._denied = denied

    def __call__(self, call: str) -> None:
        if call not in self._denied:
            grant = _GRANT.get(call)
            how = f"the operation does not grant {grant}" if grant else "no grant allows that here"
            # Language runtimes ask for the others before the operator's first line.
            severity = "warning" if grant in {None, "network"} else "info"
            self._log.tell(severity, f"WASI's {call} is refused, from now on without a word: {how}")
        self._denied[call] = self._denied.get(call, 0) + 1
