"""Calls, hops and model runs in this process, without a broker: where the fixed costs are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

from benchmarks.alternating import alternate
from benchmarks.broker import Broker
from benchmarks.component import measured
from benchmarks.models.make_net import LAYERS
from benchmarks.models.make_net import PATH as MODEL
from benchmarks.parts import nowhere, parts
from benchmarks.report import Row
from benchmarks.rows.pieces import pieces
from benchmarks.settings import Settings
from flowrt.testing import batch_of

GROUP = "micro"
PAYLOAD = b"x" * 100
CALL_MICROSECONDS = 3.0
HOP_MICROSECONDS = 3.0
CHAINS = (1, 2, 4, 8, 16)
BATCHES = (1, 8, 64, 256)
COMPONENTS = {100: 15, 1000: 10}
"""Payload sizes, and how many times faster than stock a call is to be."""
TIMES = 50
"""Calls of one thing before the next has its turn."""


def rows(_: Broker, settings: Settings) -> list[Row]:
    """All rows of this group."""
    found: list[Row] = []
    parts_of_group: Mapping[str, Callable[[Settings], list[Row]]] = {
        "call": calls,
        "hop": hops,
        "inference": inference,
        "component": component,
        "pieces": pieces,
    }
    for name, part in parts_of_group.items():
        if settings.wants(name):
            settings.say(f"micro: {name}")
            found += part(settings)
    return found


def calls(settings: Settings) -> list[Row]:
    """A guest's `map` of 100 bytes in and out, checks included."""
    with parts() as made:
        guest = made.guest("passthrough")
        jobs = {size: partial(guest.map, batch_of([PAYLOAD] * size)) for size in BATCHES}
        shown = alternate(settings, jobs, TIMES)
    found = []
    for size, values in shown.items():
        most = CALL_MICROSECONDS if size == 1 else None
        work = f"guest call, {size} x 100 B in and out"
        found.append(Row(GROUP, work, "a message", "µs", tuple(value / size for value in values), at_most=most))
    return found


def hops(settings: Settings) -> list[Row]:
    """1 to 16 pass-through guests one behind the other in one stage; what one more of them costs."""
    found = []
    with parts() as made:
        for size in BATCHES:
            jobs = {}
            for length in CHAINS:
                first = made.chain([made.map("passthrough") for _ in range(length)], nowhere)
                jobs[length] = partial(first.accept, batch_of([PAYLOAD] * size))
            shown = alternate(settings, jobs, TIMES)
            slopes = tuple(
                slope(CHAINS, [shown[length][turn] for length in CHAINS]) / size for turn in range(settings.rounds)
            )
            work = f"{CHAINS[0]} to {CHAINS[-1]} pass-through guests in a row, {size} x 100 B"
            found.append(Row(GROUP, work, "a hop, a message", "µs", slopes, at_most=HOP_MICROSECONDS))
    return found


def inference(settings: Settings) -> list[Row]:
    """The 16-32-8-32-16 network through `run_rows`, one thread."""
    payload = bytes(4 * LAYERS[0])
    with parts() as made:
        model = made.model(MODEL)
        jobs = {size: partial(model.run_rows, [payload] * size) for size in BATCHES}
        shown = alternate(settings, jobs, TIMES)
    return [
        Row(GROUP, f"inference, {size} rows at once", "a row", "µs", tuple(value / size for value in values))
        for size, values in shown.items()
    ]


def component(settings: Settings) -> list[Row]:
    """Operator components against stock wasmtime-py calls."""
    found = []
    for size, least in COMPONENTS.items():
        ratios = tuple(theirs / read for _, read, theirs in measured(size, settings.rounds))
        work = f"AIO operator component that reads {size} B and gives them back, one map"
        found.append(Row(GROUP, work, "calls/s against stock wasmtime-py", "×", ratios, at_least=least))
    return found


def slope(x: tuple[int, ...], y: list[float]) -> float:
    """Of the least-squares line."""
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    above = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    return above / sum((a - mean_x) ** 2 for a in x)
