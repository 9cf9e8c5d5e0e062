"""`flowrt demo`: the example at work, to look at. A runtime with its embedded broker in one process, a pump and its
operator in this one; a fault is injected half way, and the run ends by itself."""

from __future__ import annotations

import argparse
import os
import queue
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from flowrt.demo import figures, simulator
from flowrt.demo.client import Client, Verdict
from flowrt.demo.features import FILLING
from flowrt.demo.process import Runtime, free_port
from flowrt.demo.screen import WIDEST, Screen, clock
from flowrt.demo.simulator import Reading
from flowrt.errors import StartError
from flowrt.values import Struct, field

THRESHOLD = 3.5
"""What the graph's verdict is given."""
_FAULTS = {"valve": "the valve at the outlet begins to close", "bearing": "the bearing begins to wear"}
_TOPIC, _VERDICTS = "plant/skid/pump", "plant/+/anomaly"
_LATE_WITHIN_S = 5.0
"""How long the last verdicts may take."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--graph", type=Path, help="graph to run (default: graphs/pump-anomaly.yaml)")
    parser.add_argument("--modules", type=Path, metavar="DIR", help="folder of modules, if not beside the graph")
    parser.add_argument("--fault", choices=simulator.FAULTS, default="valve", help="what goes wrong (default: valve)")
    parser.add_argument("--fault-at", type=int, default=220, metavar="S", help="when, in pump seconds (default: 220)")
    parser.add_argument(
        "--seconds", type=int, default=400, metavar="S", help="how long, in pump seconds (default: 400)"
    )
    parser.add_argument("--pace", type=float, default=20.0, help="pump seconds in one of ours (default: 20)")
    parser.add_argument("--seed", type=int, default=1, help="of the simulator (default: 1)")


def run(options: argparse.Namespace, out: TextIO = sys.stdout) -> int:
    """0 when the fault was noticed and nothing before it, 1 otherwise, or what the runtime ended with.

    Raises StartError when the runtime cannot be started or ends too early.
    """
    graph = find_graph(options.graph)
    broker, metrics = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    command = [os.path.relpath(graph), f"--embedded-broker={broker}", f"--metrics={metrics}"]
    if options.modules is not None:
        command.append(f"--modules={options.modules}")
    tty = out.isatty()
    width = shutil.get_terminal_size().columns if tty else WIDEST
    screen = Screen(out, THRESHOLD, width=width, colour=tty and "NO_COLOR" not in os.environ)
    screen.text(f"$ flowrt run {' '.join(command)}")
    with Runtime(command) as runtime:
        _introduce(screen, options, broker, metrics)
        host, _, port = broker.rpartition(":")
        with Client(host, int(port), v5=False) as client:
            client.subscribe(_VERDICTS)
            watch = Watch(options.fault_at)
            _watch(watch, client, runtime, options, screen)
        table = figures.table(metrics)
        held = f"{runtime.resident_bytes() / 2**20:.0f} MiB resident, the embedded broker included"
    table.append(f"\nruntime: ready {runtime.ready_after_s:.1f} s after its start, {held}")
    _conclude(screen, watch, client, options, table)
    if runtime.status:
        screen.result(f"the runtime ended with status {runtime.status}\n{runtime.said()}", good=False)
    return runtime.status or (0 if watch.good else 1)


def find_graph(given: Path | None, name: str = "pump-anomaly.yaml") -> Path:
    """The graph asked for, or the example's: in the working folder, in the checkout this runs from, or as installed."""
    if given is not None:
        return given
    here = Path(__file__).parent
    places = [folder / "graphs" / name for folder in (Path.cwd(), here.parents[1], here / "example")]
    for place in places:
        if place.is_file():
            return place
    raise StartError(f"no {name} at {' or '.join(map(str, places))}; give one with --graph")


class Watch(Struct):
    """What was published and what came back. Over MQTT 3.1.1 verdicts carry no row, but come in the readings' order."""

    fault_at: int
    published: int = 0
    verdicts: list[Verdict] = field(default_factory=list)
    alerts: list[int] = field(default_factory=list)
    """The pump's second of each reading with which an alert began."""

    def take(self, verdict: Verdict) -> int | None:
        """Count a verdict; the second of its reading when an alert begins with it."""
        began = verdict.alert and not (self.verdicts and self.verdicts[-1].alert)
        second = len(self.verdicts) + FILLING
        self.verdicts.append(verdict)
        if began:
            self.alerts.append(second)
        return second if began else None

    @property
    def missing(self) -> int:
        return max(self.published - FILLING, 0) - len(self.verdicts)

    @property
    def good(self) -> bool:
        return bool(self.alerts) and self.alerts[0] >= self.fault_at and not self.missing


def _introduce(screen: Screen, options: argparse.Namespace, broker: str, metrics: str) -> None:
    screen.text(f"broker   mqtt://{broker}  readings on {_TOPIC}, verdicts on {_VERDICTS}")
    screen.text(f"metrics  http://{metrics}/metrics  (while this runs)")
    length = options.seconds / options.pace
    screen.text(
        f"pump     simulated, seed {options.seed}, {options.pace:g} times as fast as a real one: {length:.0f} s\n"
    )
    screen.heading()


def _watch(watch: Watch, client: Client, runtime: Runtime, options: argparse.Namespace, screen: Screen) -> None:
    """Publish at the pace asked for, and show a line each second of ours."""
    every = max(round(options.pace), 1)
    worst: Verdict | None = None
    for second, reading in _paced(options):
        if not runtime.alive:
            raise StartError(f"the runtime ended:\n{runtime.said()}")
        if second == options.fault_at:
            screen.event(second, _FAULTS[options.fault], alarm=False)
        client.publish(_TOPIC, reading, second)
        watch.published += 1
        for verdict in _arrived(client):
            worst = _worse(worst, verdict)
            _note(watch, verdict, screen)
        if second % every == every - 1:
            screen.line(second, reading, worst)
            worst = None
    deadline = time.monotonic() + _LATE_WITHIN_S
    while watch.missing and time.monotonic() < deadline:
        for verdict in _arrived(client, deadline - time.monotonic()):
            _note(watch, verdict, screen)


def _paced(options: argparse.Namespace) -> Iterator[tuple[int, Reading]]:
    """The pump's seconds and readings, each when it is due."""
    start = time.monotonic()
    pump = simulator.readings(options.seed, options.seconds, options.fault_at, options.fault)
    for second, reading in enumerate(pump):
        time.sleep(max(start + second / options.pace - time.monotonic(), 0))
        yield second, reading


def _arrived(client: Client, wait_s: float = 0.0) -> Iterator[Verdict]:
    """The verdicts that are there; with `wait_s`, the first may take so long."""
    try:
        while True:
            yield client.verdicts.get(wait_s > 0, max(wait_s, 0) or None)
            wait_s = 0
    except queue.Empty:
        return


def _note(watch: Watch, verdict: Verdict, screen: Screen) -> None:
    second = watch.take(verdict)
    if second is not None:
        after = second - watch.fault_at
        when = f"{after} s after the fault began" if after >= 0 else "though nothing is wrong"
        screen.event(second, f"ALERT: {verdict.sensor}, score {verdict.score:.1f}, {when}", alarm=True)


def _worse(one: Verdict | None, other: Verdict) -> Verdict:
    return other if one is None or (other.alert, other.score) >= (one.alert, one.score) else one


def _conclude(screen: Screen, watch: Watch, client: Client, options: argparse.Namespace, table: list[str]) -> None:
    screen.text()
    for line in table:
        screen.text(line)
    screen.text(
        f"{watch.published} readings, of which the first {FILLING} fill the window; {len(watch.verdicts)} verdicts"
    )
    if watch.missing or client.strange:
        screen.result(f"{watch.missing} verdicts are missing, {len(client.strange)} cannot be read", good=False)
    false = sum(second < options.fault_at for second in watch.alerts)
    if false:
        screen.result(f"{false} alerts before the fault at {clock(options.fault_at)}", good=False)
    elif not watch.alerts:
        screen.result(f"the fault at {clock(options.fault_at)} was not noticed", good=False)
    else:
        after = watch.alerts[0] - options.fault_at
        screen.result(f"fault at {clock(options.fault_at)}, first alert {after} s later, none before", good=True)
