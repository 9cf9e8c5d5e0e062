"""What the comparison makes of verdicts that are late, wrong, missing or too many."""

import numpy as np
import pytest

from flowrt.demo.client import Verdict
from flowrt.demo.compare import Result, _compare
from flowrt.demo.features import FILLING
from flowrt.demo.recordings import Recording

LABELS = np.array([False] * 17 + [True] * 3)
RECORDING = Recording("r", np.zeros((20, 8)), LABELS)
WANTED = np.array([0.5, 0.5, 4, 5, 6], np.float32)


def verdict(row: int, score: float) -> Verdict:
    return Verdict("plant/r/anomaly", row, score, score > 4.5, "flow")


def compared(*verdicts: Verdict) -> Result:
    return _compare(RECORDING, "m", list(verdicts), WANTED)


SOUND = [verdict(FILLING + i, float(score)) for i, score in enumerate(WANTED)]


def test_equal_scores_in_order_are_equal():
    result = compared(*SOUND)
    assert result.equal
    assert (result.rows, result.missing, result.unexpected, result.difference) == (20, (), 0, 0.0)
    assert (result.alerts, result.precision, result.recall) == (2, 1.0, pytest.approx(2 / 3))


@pytest.mark.parametrize(
    ("verdicts", "differs"),
    [
        (SOUND[1:], {"missing": (16,)}),
        ([*SOUND, SOUND[-1]], {"unexpected": 1}),
        ([verdict(3, 0.1), *SOUND], {"unexpected": 1}),
        ([SOUND[1], SOUND[0], *SOUND[2:]], {"in_order": False}),
        ([*SOUND[:-1], verdict(19, 6.0001)], {"difference": pytest.approx(1e-4)}),
        ([], {"missing": (16, 17, 18, 19, 20)}),
    ],
)
def test_anything_else_is_not(verdicts: list[Verdict], differs: dict[str, object]):
    result = compared(*verdicts)
    assert not result.equal
    for name, value in differs.items():
        assert getattr(result, name) == value
