"""How fast a model runs here: engines side by side, threads, batch sizes, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median, quantiles
from time import perf_counter

from flowrt.nn import encodings, files
from flowrt.nn.backend import Array
from flowrt.nn.faults import ModelFault
from flowrt.nn.tools import recording
from flowrt.nn.tools.opened import Opened, open_model
from flowrt.values import Struct

_ROUNDS_MIN, _ROUNDS_MAX = 5, 2000
_GAIN = 1.2
"""A larger batch or another engine is recommended only where it is this much faster: the rest is noise."""


class Row(Struct, frozen=True):
    """One way to run the model."""

    encoding: str
    threads: int
    batch: int
    p50: float
    """Seconds of a run."""
    p99: float
    memory: int
    """Bytes by which the process grew when the model was loaded."""

    @property
    def each(self) -> float:
        """Seconds a row."""
        return self.p50 / self.batch

    def __str__(self) -> str:
        return (
            f"{self.encoding:<15}{self.threads:>8}{self.batch:>7}{1e6 * self.p50:>12.1f}{1e6 * self.p99:>12.1f}"
            f"{1e6 * self.each:>12.2f}{self.memory / 2**20:>11.1f}"
        )


HEAD = f"{'engine':<15}{'threads':>8}{'batch':>7}{'p50 us':>12}{'p99 us':>12}{'us a row':>12}{'MiB':>11}"


def engines_for(path: Path, encoding: str | None) -> list[str]:
    """The installed engines that run this file. Raises `ModelFault` where there is none."""
    found = files.read(path, None if encoding is None else encodings.spell(encoding)).encoding
    able = ["onnx", "openvino"] if found == "onnx" and encoding is None else [found]
    present = [each for each in able if encodings.missing(each) is None]
    if not present:
        raise ModelFault("invalid-encoding", encodings.missing(found) or "")
    return present


def measure(
    path: Path,
    engines: Sequence[str],
    threads: Sequence[int],
    batches: Sequence[int],
    seconds: float,
    recorded: Path | None = None,
    inputs: Sequence[str] = (),
    signature: str | None = None,
) -> Iterator[Row]:
    """One row a combination, as it is measured; `seconds` each. Raises `ModelFault`."""
    for encoding in engines:
        encodings.backend_for(encoding)  # the engine itself is loaded once, whatever runs on it
        for count in threads:
            before = _resident()
            model = open_model(path, encoding, count, inputs, signature)
            grown = max(_resident() - before, 0)
            try:
                for size in batches if model.layout.batches else (1,):
                    yield _row(model, encoding, count, size, seconds, grown, recorded)
            finally:
                model.session.close()


def recommend(rows: Sequence[Row]) -> str:
    """What the figures say, in one sentence."""
    single = [row for row in rows if row.threads == 1]  # what the runtime gives a model
    quick = min((row for row in single if row.batch == 1), key=lambda row: row.p50, default=rows[0])
    best = quick
    for row in single:
        if row.encoding == quick.encoding and row.each * _GAIN < best.each:
            best = row
    text = f"encoding: {quick.encoding}"
    slower = [row for row in single if row.batch == 1 and row.encoding != quick.encoding]
    if slower and min(row.p50 for row in slower) < quick.p50 * _GAIN:
        text += " (the others are as fast)"
    if best.batch > 1:
        text += f", batch.max {best.batch} or more: a message costs {quick.each / best.each:.1f} times less than alone"
    else:
        text += "; batches gain nothing"
    wide = [row for row in rows if row.encoding == quick.encoding and row.threads > 1 and row.batch == best.batch]
    if wide and wide[0].p50 * _GAIN < best.p50:
        text += f"; {wide[0].threads} threads would be {best.p50 / wide[0].p50:.1f} times faster: run replicas"
    return text


def _row(
    model: Opened, encoding: str, threads: int, size: int, seconds: float, grown: int, recorded: Path | None
) -> Row:
    inputs = model.session.inputs
    arrays = recording.made_up(inputs, size) if recorded is None else _repeated(recording.read(recorded, inputs), size)
    given = recording.batch(arrays, 0, size, batched=model.layout.has_batch)
    times = _times(model, given, seconds)
    return Row(encoding, threads, size, median(times), quantiles(times, n=100)[-1], grown)


def _repeated(arrays: Sequence[Array], rows: int) -> list[Array]:
    return [array.take(range(rows), 0, mode="wrap") for array in arrays]


def _times(model: Opened, given: Sequence[Array], seconds: float) -> list[float]:
    run = model.session.run
    times: list[float] = []
    run(given)
    end = perf_counter() + seconds
    while len(times) < _ROUNDS_MIN or (len(times) < _ROUNDS_MAX and perf_counter() < end):
        began = perf_counter()
        run(given)
        times.append(perf_counter() - began)
    return times


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
