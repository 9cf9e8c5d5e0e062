"""Recordings as CSV files."""

from pathlib import Path

import pytest

from flowrt.demo import recordings

SKAB = """datetime;Accelerometer1RMS;Accelerometer2RMS;Current;Pressure;Temperature;Thermocouple;Voltage;\
Volume Flow RateRMS;anomaly;changepoint
2020-03-09 10:14:33;0.026;0.04;1.33;0.05;79.3;26.0;233.0;32.0;0.0;0.0
2020-03-09 10:14:34;0.027;0.05;1.34;0.06;79.4;26.1;233.1;31.0;1.0;0.0
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "some.csv"
    path.write_text(text)
    return path


def test_the_benchmarks_columns_are_known_by_their_names(tmp_path: Path):
    recording = recordings.load(written(tmp_path, SKAB))
    assert recording.name == "some"
    assert recording.rows.tolist() == [
        [0.026, 0.04, 1.33, 0.05, 79.3, 26.0, 233.0, 32.0],
        [0.027, 0.05, 1.34, 0.06, 79.4, 26.1, 233.1, 31.0],
    ]
    assert recording.anomalous is not None
    assert recording.anomalous.tolist() == [False, True]
    assert recording.readings()[1]["flow"] == 31.0


def test_our_own_columns_in_any_order_without_labels(tmp_path: Path):
    text = "flow,voltage,thermocouple,temperature,pressure,current,accelerometer2,accelerometer1\n8,7,6,5,4,3,2,1\n"
    recording = recordings.load(written(tmp_path, text))
    assert recording.rows.tolist() == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert recording.anomalous is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("flow,voltage\n1,2\n", r"some\.csv: no column for accelerometer1, .*; found flow, voltage"),
        ("", r"some\.csv: no column for .*; found nothing"),
        (SKAB.replace("79.4", "warm"), r"some\.csv:3: could not convert string to float: 'warm'"),
        (SKAB + "2020;1\n", r"some\.csv:4: "),
    ],
)
def test_a_file_that_is_no_recording_is_named_with_the_reason(tmp_path: Path, text: str, words: str):
    with pytest.raises(ValueError, match=words):
        recordings.load(written(tmp_path, text))
