"""Recordings of a pump as CSV files: eight columns by name, perhaps with a label for each row.

Takes commas or semicolons between columns, our sensors' names, and those of the Skoltech Anomaly Benchmark (SKAB),
whose files carry `Accelerometer1RMS … Volume Flow RateRMS` and, where labelled, a column `anomaly` of 0 and 1.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flowrt.demo.simulator import SENSORS, Reading
from flowrt.values import Struct


class Recording(Struct, frozen=True):
    """`rows` is f64[n, 8] in the order of `SENSORS`; `anomalous` bool[n], or None where the file has no labels."""

    name: str
    rows: NDArray[np.float64]
    anomalous: NDArray[np.bool_] | None

    def readings(self) -> list[Reading]:
        """The rows as the simulator would give them."""
        return [dict(zip(SENSORS, row, strict=True)) for row in self.rows.tolist()]


def rows_of(readings: Iterable[Reading]) -> NDArray[np.float64]:
    """Readings as f64[n, 8]."""
    return np.array([[reading[sensor] for sensor in SENSORS] for reading in readings], np.float64)


def load(path: Path) -> Recording:
    """Read a CSV file. Raises ValueError, which names the file, for a missing column or a cell that is no number."""
    with path.open(newline="", encoding="utf-8-sig") as file:
        header = file.readline()
        file.seek(0)
        table = csv.DictReader(file, delimiter=";" if header.count(";") > header.count(",") else ",")
        names = {_plain(name): name for name in table.fieldnames or ()}
        missing = [sensor for sensor in SENSORS if sensor not in names]
        if missing:
            raise ValueError(f"{path}: no column for {', '.join(missing)}; found {', '.join(names) or 'nothing'}")
        columns = [names[sensor] for sensor in SENSORS]
        label = names.get("anomaly")
        rows, labels = [], []
        for row in table:
            try:
                rows.append([float(row[column]) for column in columns])
                labels.append(label is not None and float(row[label]) > 0)
            except (TypeError, ValueError) as wrong:
                raise ValueError(f"{path}:{table.line_num}: {wrong}") from wrong
    anomalous = np.array(labels, np.bool_) if label is not None else None
    return Recording(path.stem, np.array(rows, np.float64).reshape(-1, len(SENSORS)), anomalous)


def _plain(column: str) -> str:
    """`Volume Flow RateRMS` -> `flow`, `Accelerometer1RMS` -> `accelerometer1`."""
    plain = column.strip().lower().removesuffix("rms").replace(" ", "")
    return "flow" if plain == "volumeflowrate" else plain
