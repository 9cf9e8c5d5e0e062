"""The short form of the fault bench: real processes and links are broken, and every message is counted."""

import pytest
from brokers import needs_broker

from benchmarks.faults.rows import SCENARIOS
from benchmarks.faults.world import SHORT, play

pytestmark = needs_broker

IN_CI = ("kill", "kill-broker", "cut-sink", "sighup", "file-kill")
"""A row of each kind; `python -m benchmarks.faults` plays them all."""
SEED = 7


@pytest.mark.parametrize("name", IN_CI)
def test_nothing_is_lost(name):
    scenario = next(one for one in SCENARIOS if one.name == name)
    if (reason := scenario.needs()) is not None:
        pytest.skip(reason)
    result = play(scenario, SEED, SHORT)
    assert (result.sent, result.lost, result.reordered, result.notes) == (SHORT.messages, 0, 0, ()), result
    assert result.duplicated <= result.bound, result
