"""The same input on virtual time gives the same output, byte for byte: windows, folds, guests and models included."""

from pathlib import Path

import pytest

from flowrt.cli import loading
from flowrt.graphtest import running
from flowrt.graphtest.execution import execute
from flowrt.values import asdict

ROOT = Path(__file__).parents[2]
BENCH = running.Bench((ROOT / "modules", ROOT / "modules/aio"), {}, {}, loading._inspect_module, loading._inspect_model)


def what_left(asked):
    trial = running._trial(asked)
    out = execute(trial, running._plan(trial, BENCH)).out
    return {place: [(left.after, asdict(left.head), left.payload) for left in found] for place, found in out.items()}


@pytest.mark.parametrize("name", ["greenhouse-windows", "hall-climate", "pump-anomaly"])
def test_a_second_run_gives_the_same_bytes(name):
    asked, _ = running.listed(ROOT / f"graphs/tests/{name}.test.yaml")

    for case in asked:
        first = what_left(case)

        assert first
        assert what_left(case) == first
