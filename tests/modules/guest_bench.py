"""What the tests of modules share: guests, run by the host that runs them in a graph, and batches for them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import wasmtime

from flowrt.demo.simulator import SENSORS
from flowrt.message import Batch, Head, Tensor
from flowrt.quota.resources import Resources
from flowrt.wasm.engine import Engine
from flowrt.wasm.guest import CoreGuest
from flowrt.wasm.heads import NodeHeads
from flowrt.wasm.log import GuestLog

MODULES = Path(__file__).parents[2] / "modules"


class Bench:
    """Makes guests, and keeps what they log."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.logged: list[str] = []
        self._guests: list[CoreGuest] = []

    def guest(
        self,
        module: str | Path,
        declared: Sequence[Tensor] = (),
        memory: int = 2**26,
        extra: Sequence[object] = (),
        **properties: str,
    ) -> CoreGuest:
        path = module if isinstance(module, Path) else MODULES / module / f"{module}.wasm"
        compiled = wasmtime.Module(self.engine.native(), path.read_bytes())
        log = GuestLog(lambda event: self.logged.append(event.text), "graph", "node", 100)
        resources = Resources(memory=memory)
        given = tuple(properties.items())
        guest = CoreGuest(
            self.engine, compiled, resources, given, NodeHeads(declared), log, frozenset(), {}, extra=extra
        )
        self._guests.append(guest)
        return guest

    def close(self) -> None:
        for guest in self._guests:
            guest.close()


TOPIC_A = Head("a")


def make_batch(payloads: Sequence[bytes], heads: Head | Sequence[Head] = TOPIC_A, times: Sequence[int] = ()) -> Batch:
    """`times` in milliseconds."""
    count = len(payloads)
    each = [heads] * count if isinstance(heads, Head) else list(heads)
    shifted = [time << 20 for time in times] or [0] * count
    return Batch(each, list(payloads), shifted, [0.0] * count, range(count))


FEATURES = (Tensor("features", "f32", (24,)),)


def payloads(readings: np.ndarray) -> list[bytes]:
    return [json.dumps(dict(zip(SENSORS, map(float, row), strict=True))).encode() for row in readings]
