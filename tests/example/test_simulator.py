"""The simulated pump: the same for the same seed, and plausible when something breaks."""

import itertools

import pytest

from flowrt.demo.recordings import rows_of
from flowrt.demo.simulator import FAULTS, SENSORS, UNITS, Fault, readings


def mean(rows, sensor: str) -> float:
    return float(rows[:, SENSORS.index(sensor)].mean())


def test_the_same_seed_gives_the_same_readings():
    assert list(readings(5, 50)) == list(readings(5, 50))
    assert list(readings(5, 50)) != list(readings(6, 50))


def test_a_reading_names_every_sensor_in_order():
    (reading,) = readings(1, 1)
    assert tuple(reading) == SENSORS == tuple(UNITS)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_changes_nothing_before_it(fault: Fault):
    healthy, faulty = list(readings(2, 100)), list(readings(2, 100, 60, fault))
    assert healthy[:60] == faulty[:60]
    assert healthy[60:] != faulty[60:]


def test_a_closing_valve_lowers_flow_and_current_and_raises_the_pressure():
    healthy, faulty = rows_of(readings(3, 200)), rows_of(readings(3, 200, 60, "valve"))
    late = slice(110, None)
    assert mean(faulty[late], "flow") < 0.6 * mean(healthy[late], "flow")
    assert mean(faulty[late], "current") < 0.9 * mean(healthy[late], "current")
    assert mean(faulty[late], "pressure") > 1.15 * mean(healthy[late], "pressure")


def test_a_worn_bearing_shakes_and_warms():
    healthy, faulty = rows_of(readings(3, 300)), rows_of(readings(3, 300, 60, "bearing"))
    late = slice(200, None)
    assert mean(faulty[late], "accelerometer1") > 1.5 * mean(healthy[late], "accelerometer1")
    assert mean(faulty[late], "thermocouple") > mean(healthy[late], "thermocouple") + 5
    assert mean(faulty[late], "flow") == pytest.approx(mean(healthy[late], "flow"))


def test_load_drives_flow_and_current_together():
    rows = rows_of(readings(4, 3600))
    flow, current = rows[:, SENSORS.index("flow")], rows[:, SENSORS.index("current")]
    covariance = ((flow - flow.mean()) * (current - current.mean())).mean()
    assert covariance / (flow.std() * current.std()) > 0.8


def test_readings_come_one_by_one():
    endless = readings(1, 10**12)
    assert len(list(itertools.islice(endless, 3))) == 3
