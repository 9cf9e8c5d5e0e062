"""Windows, modules' state and the state store in virtual time: the promise holds for many seeds, and a broken rule does
not go unseen."""

import re

import pytest

from benchmarks.faults.simulation.run import Wrong
from benchmarks.faults.simulation.window_mutations import WINDOW_MUTATIONS, window_mutated
from benchmarks.faults.simulation.windows_run import WindowSimulation

SEEDS = range(150)
"""CI's share. `python -m benchmarks.faults simulate --windows` runs as many as it is told."""
MUTANT_SEEDS = 1000


def test_each_message_is_in_one_window_whatever_is_killed_stopped_or_trapped():
    crashes = cuts = stops = 0
    for seed in SEEDS:
        simulation = WindowSimulation(seed)
        simulation.run()  # raises with the seed
        crashes, cuts, stops = crashes + simulation.crashes, cuts + simulation.cuts, stops + simulation.stops
    assert crashes > len(SEEDS) / 2
    assert cuts > len(SEEDS)
    assert stops > len(SEEDS) / 5


def first_found(graph):
    """What is wrong in the first seed in which something is."""
    for seed in range(MUTANT_SEEDS):
        try:
            WindowSimulation(seed, graph).run()
        except Wrong as wrong:
            return seed, str(wrong)
    return None, f"nothing in {MUTANT_SEEDS} seeds"


@pytest.mark.parametrize("name", WINDOW_MUTATIONS)
def test_a_defect_made_on_purpose_is_found_and_its_seed_finds_it_again(name):
    with window_mutated(name) as mutation:
        seed, wrong = first_found(mutation.graph)
        assert re.search(mutation.words, wrong), wrong
        assert f"seed {seed}: " in wrong
        with pytest.raises(Wrong) as again:
            WindowSimulation(seed, mutation.graph).run()
        assert str(again.value) == wrong
