"""The demo and the comparison as commands, with every real part: runtime, guests, model and brokers."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import needs_broker

from flowrt.demo import simulator
from flowrt.demo.simulator import SENSORS

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("FLOWRT_SHARED", ROOT.parent / "shared"))
FORMS = ["pump-anomaly.yaml", "pump-anomaly-guest.yaml"]


def flowrt(*arguments: str, timeout: float = 100) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flowrt.cli.main", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=timeout, check=False)


def test_the_demo_sees_the_fault_and_ends_by_itself():
    demo = flowrt("demo", "--pace", "100", "--seconds", "280", "--fault-at", "200")
    assert demo.returncode == 0, demo.stdout + demo.stderr
    lines = demo.stdout.splitlines()
    assert lines[0].startswith("$ flowrt run graphs/pump-anomaly.yaml --embedded-broker=127.0.0.1:")
    assert any(line.startswith("metrics  http://127.0.0.1:") for line in lines)
    fault, alert = (
        next(i for i, line in enumerate(lines) if words in line) for words in ("begins to close", "ALERT: ")
    )
    assert fault < alert
    assert any(line.split()[:3] == ["features", "280", "265"] for line in lines)
    assert "280 readings, of which the first 15 fill the window; 265 verdicts" in lines
    assert lines[-1].startswith("fault at 3:20, first alert ")
    assert "\x1b" not in demo.stdout


def test_a_demo_without_an_alert_fails():
    demo = flowrt("demo", "--pace", "200", "--seconds", "60", "--fault-at", "100")
    assert demo.returncode == 1
    assert demo.stdout.splitlines()[-1] == "the fault at 1:40 was not noticed"


def test_a_graph_with_problems_is_not_shown(tmp_path: Path):
    (tmp_path / "wrong.yaml").write_text("operations: []\noperatoins: []\n")
    demo = flowrt("demo", "--graph", str(tmp_path / "wrong.yaml"))
    assert demo.returncode == 3
    assert "unknown-field" in demo.stderr
    assert "Traceback" not in demo.stderr


def test_the_first_graph_keeps_what_is_warm():
    kept = flowrt("run", "graphs/hello-file.yaml")
    assert kept.returncode == 0, kept.stderr
    readings = (ROOT / "graphs" / "data" / "greenhouse.jsonl").read_text().splitlines()
    assert kept.stdout.splitlines() == [line for line in readings if float(line.split('"temperature": ')[1][:4]) >= 28]
    assert kept.stdout


def recording(path: Path, seed: int, count: int, fault_at: int | None = None) -> None:
    with path.open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow([*SENSORS, "anomaly"])
        for second, reading in enumerate(simulator.readings(seed, count, fault_at)):
            table.writerow([*reading.values(), int(fault_at is not None and second >= fault_at)])


@needs_broker
@pytest.mark.parametrize("graph", FORMS)
def test_scores_over_a_real_broker_equal_an_offline_computation(graph: str, tmp_path: Path):
    recording(tmp_path / "anomaly-free.csv", 21, 3000)
    recording(tmp_path / "valve.csv", 22, 600, 500)
    compared = flowrt(
        "demo", "compare", "--data", str(tmp_path), "--recordings", "valve.csv", "--graph", f"graphs/{graph}"
    )
    assert compared.returncode == 0, compared.stdout + compared.stderr
    lines = compared.stdout.splitlines()
    assert lines[-1] == "all equal"
    assert sum(line.startswith("| valve | anomaly-free.csv | 600 | 15 | 585 | 0 |") for line in lines) == 1
    assert "The window fills in rows 1 to 15 of each recording; they have no score." in lines


@needs_broker
@pytest.mark.skipif(not (SHARED / "data" / "skab").is_dir(), reason="the recordings are not here")
def test_scores_of_real_recordings_equal_an_offline_computation():
    compared = flowrt("demo", "compare", "--data", str(SHARED / "data" / "skab"))
    assert compared.returncode == 0, compared.stdout + compared.stderr
    assert "| valve1-0 | anomaly-free.csv | 1147 | 15 | 1132 | 0 |" in compared.stdout
    assert "| valve1-1 | anomaly-free.csv | 1145 | 15 | 1130 | 0 |" in compared.stdout
