"""`flowrt demo compare`: the example's graph on real recordings, through a real broker, against an offline computation.

Each recording is published row by row at QoS 1, numbered by a user property. The graph's score of each row must equal
what numpy and ONNX Runtime make of the same file, and none may be missing. How well the model finds the faults the
recording's labels name is said as well, twice: with a model trained on the recording `anomaly-free.csv`, and with one
trained on the recording's own first rows, before anything was wrong.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import queue
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from flowrt.demo import offline, recordings, train
from flowrt.demo.client import Client, Verdict
from flowrt.demo.features import FILLING, features
from flowrt.demo.mosquitto import Mosquitto
from flowrt.demo.process import Runtime
from flowrt.demo.recordings import Recording
from flowrt.demo.show import find_graph
from flowrt.errors import StartError
from flowrt.values import Struct

TOLERANCE = 1e-5
HEALTHY = "anomaly-free.csv"
OWN_ROWS, OWN_EPOCHS = 400, 300
"""The first rows of a recording that its own model is trained on, as users of the benchmark do."""
_WITHIN_S = 60.0
"""How long the verdicts of one recording may take."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help=f"folder with {HEALTHY} and recordings")
    parser.add_argument("--recordings", nargs="+", default=["valve1-0.csv", "valve1-1.csv"], metavar="CSV")
    parser.add_argument("--graph", type=Path, help="graph to run (default: graphs/pump-anomaly.yaml)")
    parser.add_argument("--modules", type=Path, metavar="DIR", help="folder of modules, if not beside the graph")
    parser.add_argument("--broker", metavar="HOST:PORT", help="an MQTT 5 broker (default: a Mosquitto of its own)")


def run(options: argparse.Namespace, out: TextIO = sys.stdout) -> int:
    """0 when every score is there and equal, 1 otherwise. Raises StartError, and ValueError for data that is no use."""
    graph = find_graph(options.graph)
    files = [recordings.load(options.data / name) for name in options.recordings]
    results: list[Result] = []
    with tempfile.TemporaryDirectory(prefix="flowrt-compare-") as folder, contextlib.ExitStack() as stack:
        out.write(f"training on {HEALTHY}\n")
        healthy = train.make(options.data / HEALTHY, out=out)
        host, port = _broker(options.broker, Path(folder), stack)
        for recording in files:
            own = train.fit(features(recording.rows[:OWN_ROWS]), f"{recording.name}, own rows", epochs=OWN_EPOCHS)
            for name, model in ((HEALTHY, healthy.onnx), (f"own first {OWN_ROWS} rows", own.onnx)):
                path = Path(folder) / "model.onnx"
                path.write_bytes(model)
                arguments = [
                    *_arguments(graph, options.modules, path),
                    f"--set=BROKER_HOST={host}",
                    f"--set=BROKER_PORT={port}",
                ]
                with (
                    Runtime([*arguments, f"--state={folder}/{len(results)}"]) as runtime,
                    Client(host, port, v5=True) as client,
                ):
                    got = _verdicts(client, runtime, recording)
                results.append(_compare(recording, name, got, offline.scores(model, recording.rows)))
    _report(results, graph, out)
    return 0 if all(result.equal for result in results) else 1


class Result(Struct, frozen=True):
    """One recording with one model."""

    recording: str
    model: str
    rows: int
    missing: tuple[int, ...]
    """Numbers of rows, from 1, that should have a verdict and have none."""
    unexpected: int
    """Verdicts for rows without one offline, or second verdicts for a row."""
    in_order: bool
    difference: float
    """The largest between a score of the graph and its offline score, absolute."""
    largest: float
    """The largest offline score."""
    equal: bool
    alerts: int
    precision: float
    recall: float
    """Of the rows' alerts against the labels; NaN without labels or alerts."""


def _broker(given: str | None, folder: Path, stack: contextlib.ExitStack) -> tuple[str, int]:
    if given is None:
        broker = stack.enter_context(Mosquitto(folder))
        return broker.host, broker.port
    host, _, port = given.rpartition(":")
    return host or "127.0.0.1", int(port)


def _arguments(graph: Path, modules: Path | None, model: Path) -> list[str]:
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    arguments = [str(graph), f"--set=PUMP_MODEL={model}", f"--set=PUMP_MODEL_SHA256={digest}"]
    return arguments if modules is None else [*arguments, f"--modules={modules}"]


def _verdicts(client: Client, runtime: Runtime, recording: Recording) -> list[Verdict]:
    """Publish every row and take what comes back, until it is all there or takes too long."""
    client.subscribe(f"plant/{recording.name}/anomaly")
    for row, reading in enumerate(recording.readings()):
        client.publish(f"plant/{recording.name}/pump", reading, row)
    deadline = time.monotonic() + _WITHIN_S
    verdicts = list(_arriving(client, len(recording.rows) - FILLING, deadline))
    if not runtime.alive:
        raise StartError(f"the runtime ended:\n{runtime.said()}")
    if client.strange:
        raise StartError(f"{len(client.strange)} messages are no verdicts, the first: {client.strange[0]!r}")
    return verdicts


def _arriving(client: Client, count: int, deadline: float) -> Iterator[Verdict]:
    with contextlib.suppress(queue.Empty):
        for _ in range(count):
            yield client.verdicts.get(timeout=max(deadline - time.monotonic(), 0.001))
        yield client.verdicts.get(timeout=0.2)  # one too many would come now


def _compare(recording: Recording, model: str, verdicts: list[Verdict], wanted: NDArray[np.float32]) -> Result:
    rows = [-1 if verdict.row is None else verdict.row for verdict in verdicts]
    expected = range(FILLING, len(recording.rows))
    by_row = {row: verdict for row, verdict in zip(rows, verdicts, strict=True) if row in expected}
    present = sorted(by_row)
    got = np.array([by_row[row].score for row in present])
    target = wanted[[row - FILLING for row in present]].astype(np.float64)
    difference = float(np.max(np.abs(got - target), initial=0.0))
    alert = np.array([by_row[row].alert for row in present], np.bool_)
    missing = tuple(row + 1 for row in expected if row not in by_row)
    precision, recall = _found(alert, recording.anomalous, present)
    unexpected = len(verdicts) - len(by_row)
    in_order = rows == sorted(rows)
    equal = not missing and not unexpected and in_order and difference <= TOLERANCE
    largest = float(np.max(target, initial=0.0))
    return Result(
        recording.name, model, len(recording.rows), missing, unexpected, in_order, difference, largest, equal,
        int(alert.sum()), precision, recall,
    )  # fmt: skip


def _found(alert: NDArray[np.bool_], labels: NDArray[np.bool_] | None, rows: list[int]) -> tuple[float, float]:
    """Precision and recall of the rows' alerts."""
    if labels is None:
        return float("nan"), float("nan")
    wrong = labels[rows]
    hits = int((alert & wrong).sum())
    share = [hits / int(whole.sum()) if whole.any() else float("nan") for whole in (alert, wrong)]
    return share[0], share[1]


def _report(results: list[Result], graph: Path, out: TextIO) -> None:
    out.write(f"\n{graph.name}: scores of the graph against numpy and ONNX Runtime, tolerance {TOLERANCE:g}\n\n")
    out.write(
        "| recording | model trained on | rows | filling | verdicts | missing | largest score | largest difference |\n"
    )
    out.write("|---|---|---:|---:|---:|---:|---:|---:|\n")
    for result in results:
        verdicts = result.rows - FILLING - len(result.missing)
        out.write(
            f"| {result.recording} | {result.model} | {result.rows} | {FILLING} | {verdicts} | {len(result.missing)}"
            f" | {result.largest:.3f} | {result.difference:.1e} |\n"
        )
    out.write(f"\nThe window fills in rows 1 to {FILLING} of each recording; they have no score.\n")
    for result in results:
        if result.missing or result.unexpected or not result.in_order:
            out.write(f"{result.recording}, {result.model}: missing rows {list(result.missing)[:20]}")
            out.write(f", {result.unexpected} unexpected verdicts, {'in' if result.in_order else 'out of'} order\n")
    out.write("\n| recording | model trained on | rows in alert | precision | recall |\n|---|---|---:|---:|---:|\n")
    for result in results:
        found = f"{result.alerts} | {result.precision:.3f} | {result.recall:.3f}"
        out.write(f"| {result.recording} | {result.model} | {found} |\n")
    out.write(f"\n{'all equal' if all(result.equal for result in results) else 'NOT equal'}\n")
