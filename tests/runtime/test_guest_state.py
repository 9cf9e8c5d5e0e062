"""The state of a module that keeps one goes on in a fresh instance; one that no instance takes is given up."""

import pytest

from flowrt.errors import GuestTrap
from flowrt.operators.base import GuestOutput
from flowrt.operators.guest import REFUSALS_MAX
from flowrt.operators.map import MapOperator
from flowrt.testing import batch_of


class Counting:
    """Numbers its messages; refuses a state of 3 unless it is another day."""

    another_day = False

    def __init__(self):
        self.count = 0

    def map(self, batch):
        self.count += len(batch)
        return GuestOutput(range(len(batch)), [b"%d" % self.count] * len(batch))

    def save(self):
        return b"%d" % self.count

    def restore(self, state):
        if state == b"3" and not Counting.another_day:
            raise GuestTrap("init", "flowrt_restore refused the state")
        self.count = int(state)

    def close(self):
        pass

    def memory_bytes(self):
        return 0


@pytest.fixture
def counted(monkeypatch):
    """An operator and what it makes of so many messages."""
    monkeypatch.setattr(Counting, "another_day", False)
    operator = MapOperator(Counting)
    return operator, lambda count: operator.process(batch_of([b""] * count)).ports[0].payloads[0]


def refused(operator):
    with pytest.raises(GuestTrap, match="refused the state"):
        operator.restart()


def test_a_fresh_instance_goes_on_with_the_state(counted):
    operator, count = counted
    assert count(2) == b"2"
    operator.restart()
    assert count(2) == b"4"


def test_a_state_that_no_instance_takes_is_given_up(counted):
    operator, count = counted
    count(3)
    for _ in range(REFUSALS_MAX):
        refused(operator)

    operator.restart()

    assert count(1) == b"1"


def test_a_state_that_one_instance_refused_is_offered_to_the_next(counted):
    operator, count = counted
    count(3)
    refused(operator)
    Counting.another_day = True

    operator.restart()

    assert count(1) == b"4"
