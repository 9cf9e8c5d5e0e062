"""`flowrt demo train`: make the example's model, from the simulator or from a recording of a healthy pump.

The committed `graphs/models/pump-ae.onnx` is what this makes without arguments.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from flowrt.demo import autoencoder, export, recordings, simulator
from flowrt.demo.features import features
from flowrt.values import Struct

SEED, EPOCHS = 7, 40
SIMULATED_RUNS, SIMULATED_S = 3, 7200
"""Three pumps of two hours each: every phase of the slow changes of load and weather comes up."""


class Trained(Struct, frozen=True):
    """A model in both of its forms, and what it was made of."""

    model: autoencoder.Autoencoder
    onnx: bytes
    rows: int


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", type=Path, metavar="CSV", help="train on this recording instead of on the simulator")
    parser.add_argument("--out", type=Path, default=Path("pump-ae.onnx"), help="file to write (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=SEED, help="of simulator and training (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=EPOCHS, help="passes over the rows (default: %(default)s)")


def run(options: argparse.Namespace, out: TextIO = sys.stdout) -> int:
    trained = make(options.data, options.seed, options.epochs, out)
    options.out.write_bytes(trained.onnx)
    digest = hashlib.sha256(trained.onnx).hexdigest()
    out.write(f"wrote {options.out}: {len(trained.onnx)} bytes, trained on {trained.rows} rows\nsha256: {digest}\n")
    return 0


def make(data: Path | None = None, seed: int = SEED, epochs: int = EPOCHS, out: TextIO | None = None) -> Trained:
    """Train on a recording, or on the simulator when `data` is None. Raises ValueError for data that is no use."""
    rows = _simulated(seed) if data is None else features(recordings.load(data).rows)
    origin = f"simulator, {SIMULATED_RUNS} x {SIMULATED_S} readings" if data is None else data.name
    return fit(rows, origin, seed, epochs, out)


def fit(
    rows: NDArray[np.float32], origin: str, seed: int = SEED, epochs: int = EPOCHS, out: TextIO | None = None
) -> Trained:
    """Train on f32[n, 24] features; `origin` goes into the file's description."""

    def show(epoch: autoencoder.Epoch) -> None:
        if out is not None and (epoch.number % 5 == 0 or epoch.number == epoch.of):
            out.write(f"epoch {epoch.number}/{epoch.of}: loss {epoch.loss:.4f}, validation {epoch.validation:.4f}\n")
            out.flush()

    model = autoencoder.train(rows, seed, epochs, show)
    note = f"Autoencoder of a healthy pump; trained by 'flowrt demo train' on {origin}, seed {seed}, {epochs} epochs"
    return Trained(model, export.to_onnx(model, note), len(rows))


def _simulated(seed: int) -> NDArray[np.float32]:
    runs = (simulator.readings(seed * 1000 + run, SIMULATED_S) for run in range(SIMULATED_RUNS))
    return np.concatenate([features(recordings.rows_of(run)) for run in runs])
