"""A process of its own makes of a graph file what reading it here gives; when it cannot, the file is read here."""

import os
import sys
from pathlib import Path

import pytest

from flowrt.graph.load import read_anew
from flowrt.updates import reading
from flowrt.updates.reading import read_apart

PUMP = (Path(__file__).parents[2] / "graphs" / "pump-anomaly.yaml").read_bytes()
WRONG = b"operations:\n  - {operationType: mapp, name: 3}\n  - {operationType: sink, name: in, qos: 7}\n"
FILLED = PUMP.replace(b"127.0.0.1", b"${BROKER}") + b"# ${SECRET}\n"


@pytest.fixture
def here(monkeypatch):
    """How often a file was read in this process."""
    times = []

    def read(*given):
        times.append(given)
        return read_anew(*given)

    monkeypatch.setattr(reading, "read_anew", read)
    return times


@pytest.mark.parametrize("data", [PUMP, WRONG, b"{", FILLED], ids=["sound", "two mistakes", "no YAML", "filled in"])
def test_another_process_reads_the_same(here, data):
    given = (data, "g.yaml", {"BROKER": "plant"}, {**os.environ, "SECRET": "x"})

    assert read_apart(*given) == read_anew(*given)
    assert here == []


@pytest.mark.parametrize(
    "command",
    [
        ["/nonexistent"],
        [sys.executable, "-c", "import sys; sys.exit(1)"],
        [sys.executable, "-c", "print('no reading')"],
        [sys.executable, "-c", "import time; time.sleep(60)"],
    ],
    ids=["is not there", "fails", "answers something else", "does not end"],
)
def test_a_process_that_is_no_help_is_done_without(here, command):
    given = (PUMP, "g.yaml", {}, os.environ)

    assert read_apart(*given, command=command, seconds=0.5) == read_anew(*given)
    assert len(here) == 1


def test_a_program_that_was_replaced_is_no_help_to_the_one_that_runs(here, monkeypatch):
    monkeypatch.setattr(reading, "readers", lambda: "what this one began with")

    assert read_apart(PUMP, "g.yaml", {}, os.environ).graph is not None
    assert len(here) == 1
