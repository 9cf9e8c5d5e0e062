"""A pump skid that is not there: eight sensors at 1 Hz, as plausible as a page of arithmetic can make them.

A pump with a slowly changing speed works against a valve. Its flow and pressure follow from the pump's curve and the
valve's opening, the motor's current from the hydraulic work, temperatures from the current with their lag, vibration
from the speed. Two faults can be injected: a valve that closes, and a bearing that wears.

Pure: the same seed gives the same readings, on every machine and in every version of Python.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from random import Random
from typing import Literal, get_args

from flowrt.values import Struct

SENSORS = ("accelerometer1", "accelerometer2", "current", "pressure", "temperature", "thermocouple", "voltage", "flow")
"""The keys of a reading, in the order in which features and models count them."""

UNITS = {
    "accelerometer1": "g", "accelerometer2": "g", "current": "A", "pressure": "bar",
    "temperature": "°C", "thermocouple": "°C", "voltage": "V", "flow": "l/min",
}  # fmt: skip

Fault = Literal["valve", "bearing"]
FAULTS: tuple[Fault, ...] = get_args(Fault)

Reading = dict[str, float]

_VALVE_CLOSES_S, _VALVE_LEFT = 40, 0.45
"""The valve closes within so many seconds to so much of its opening."""
_BEARING_WEARS_S = 90

_SHUTOFF_HEAD, _CURVE, _PIPES = 1.33, 0.33, 1.0
"""Pump curve: head = shut-off head × speed² - curve × flow². Pipes and valve: head = pipes / opening² × flow². In parts
of the nominal point, where speed, flow and head are 1."""


def readings(seed: int, count: int, fault_at: int | None = None, fault: Fault = "valve") -> Iterator[Reading]:
    """`count` readings, one for each second from 0. From second `fault_at` on, `fault` develops; None: never."""
    skid = _Skid(Random(seed))  # noqa: S311 - noise for a simulator, and a stream that never changes
    for second in range(count):
        since = -1 if fault_at is None else second - fault_at
        valve = _ramp(since, _VALVE_CLOSES_S) if fault == "valve" else 0.0
        wear = _ramp(since, _BEARING_WEARS_S) if fault == "bearing" else 0.0
        yield skid.step(second, 1.0 - (1.0 - _VALVE_LEFT) * valve, wear)


def _ramp(since: int, length: int) -> float:
    """0 before, 1 after, a straight line of `length` seconds between."""
    return min(max(since + 1, 0) / length, 1.0)


class _Wander:
    """Noise with a memory: a first-order autoregressive process around 0, at 1 Hz."""

    def __init__(self, random: Random, deviation: float, memory_s: float) -> None:
        self._gauss = random.gauss
        self._keep = math.exp(-1 / memory_s)
        self._kick = deviation * math.sqrt(1 - self._keep**2)
        self._value = random.gauss(0.0, deviation)

    def step(self) -> float:
        self._value = self._keep * self._value + self._gauss(0.0, self._kick)
        return self._value


class _Lag(Struct):
    """A body that takes the temperature of its surroundings with a delay."""

    memory_s: float
    value: float | None = None

    def step(self, target: float) -> float:
        self.value = target if self.value is None else self.value + (target - self.value) / self.memory_s
        return self.value


class _Skid:
    """The state of the pump: its noises and its temperatures."""

    def __init__(self, random: Random) -> None:
        self._gauss = random.gauss
        self._phases = [random.uniform(0, 2 * math.pi) for _ in range(3)]
        self._speed = _Wander(random, 0.006, 30)
        self._grid = _Wander(random, 1.8, 25)
        self._motor = _Lag(300)
        self._bearing = _Lag(45)

    def step(self, second: int, opening: float, wear: float) -> Reading:
        """One second later, with the valve `opening` (1 is open) and `wear` of the bearing (0 is none)."""
        noise = self._gauss
        speed = 0.85 + 0.07 * self._wave(0, second, 900) + 0.04 * self._wave(1, second, 2700) + self._speed.step()
        ambient = 21 + 1.5 * self._wave(2, second, 7200)
        resistance = _PIPES / opening**2
        flow = speed * math.sqrt(_SHUTOFF_HEAD / (_CURVE + resistance))
        head = resistance * flow**2
        current = 0.5 + 1.9 * (0.35 * speed**3 + 0.65 * speed**2 * flow) * (1 + 0.06 * wear)
        motor = self._motor.step(ambient + 38 + 11 * current)
        bearing = self._bearing.step(ambient + 5 + 3 * speed + 8 * wear)
        stir = 1 + 0.5 * (1 - opening)
        values = (
            0.205 * speed**2 * stir * (1 + 0.9 * wear) + noise(0, 0.0035 * (1 + 4 * wear)),
            0.262 * speed**2 * stir * (1 + 0.25 * wear) + noise(0, 0.0035 * (1 + wear)),
            current + noise(0, 0.035),
            3.1 * head + noise(0, 0.03),
            motor + noise(0, 0.12),
            bearing + noise(0, 0.05),
            231 + self._grid.step() - 1.5 * current + noise(0, 0.6),
            125 * flow + noise(0, 0.7),
        )
        return {sensor: float(f"{value:.6g}") for sensor, value in zip(SENSORS, values, strict=True)}

    def _wave(self, which: int, second: int, period_s: float) -> float:
        return math.sin(2 * math.pi * second / period_s + self._phases[which])
