"""The delivery core in virtual time: the promise holds for many seeds, and a broken rule does not go unseen."""

import re

import pytest

from benchmarks.faults.simulation.mutations import MUTATIONS, mutated
from benchmarks.faults.simulation.run import Simulation, Wrong

SEEDS = range(200)
"""CI's share. `python -m benchmarks.faults simulate` runs as many as it is told."""
MUTANT_SEEDS = 1000
"""The rarest of the defects made on purpose shows in one seed of some hundreds."""


def test_nothing_is_lost_doubled_or_disordered_in_any_seed():
    crashes = cuts = 0
    for seed in SEEDS:
        simulation = Simulation(seed)
        simulation.run()  # raises with the seed
        crashes, cuts = crashes + simulation.crashes, cuts + simulation.cuts
    assert crashes > len(SEEDS) / 2
    assert cuts > len(SEEDS)


def first_found():
    """What is wrong in the first seed in which something is."""
    for seed in range(MUTANT_SEEDS):
        try:
            Simulation(seed).run()
        except Wrong as wrong:
            return seed, str(wrong)
    return None, f"nothing in {MUTANT_SEEDS} seeds"


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_defect_made_on_purpose_is_found_and_its_seed_finds_it_again(name):
    with mutated(name) as words:
        seed, wrong = first_found()
        assert re.search(words, wrong), wrong
        assert f"seed {seed}: " in wrong
        with pytest.raises(Wrong) as again:
            Simulation(seed).run()
        assert str(again.value) == wrong
