"""The three forms of the example: one set of readings, one set of verdicts."""

import json
from pathlib import Path

import numpy as np
import pytest

from flowrt.cli import loading, main
from flowrt.demo import offline, simulator
from flowrt.demo.features import FILLING
from flowrt.demo.recordings import rows_of
from flowrt.problem import has_errors
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.testing import FakeEndpoints

GRAPHS = Path(__file__).parents[2] / "graphs"
FORMS = ["pump-anomaly.yaml", "pump-anomaly-guest.yaml", "pump-anomaly-short.yaml"]
READINGS = list(simulator.readings(31, 300, 200))


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[bytes]]:
    """What each form publishes, given the same readings in batches of uneven size."""
    payloads = [json.dumps(reading).encode() for reading in READINGS]
    batches = [payloads[:1], payloads[1:20], payloads[20:180], payloads[180:]]
    return {form: run(GRAPHS / form, batches, tmp_path_factory.mktemp("state")) for form in FORMS}


def run(graph: Path, batches: list[list[bytes]], state: Path) -> list[bytes]:
    ends = ["--bind", "source=mqtt://127.0.0.1/plant/+/pump", "--bind", "sink=mqtt://127.0.0.1/plant/skid/anomaly"]
    short = ends if "short" in graph.name else []
    plans, problems = loading.load_all(main.parser(("check",)).parse_args(["check", str(graph), *short]))
    assert not has_errors(problems)
    endpoints = FakeEndpoints(batches, topic="plant/skid/pump")
    around = Surroundings(emit=lambda event: None, state=state, open_endpoints=endpoints.open)
    runtime = Runtime(plans, around)
    runtime.start()
    sink = endpoints.sinks["sink" if short else "alerts"]
    messages = sink.wait_for(len(READINGS) - FILLING)
    runtime.stop(10)
    return [message.payload for message in messages]


def test_all_forms_give_the_same_verdicts_to_the_byte(verdicts: dict[str, list[bytes]]):
    first, *others = (verdicts[form] for form in FORMS)
    assert all(other == first for other in others)


@pytest.mark.parametrize("form", FORMS)
def test_scores_are_those_of_numpy_and_onnx_runtime(form: str, verdicts: dict[str, list[bytes]]):
    scores = [json.loads(payload)["score"] for payload in verdicts[form]]
    wanted = offline.scores((GRAPHS / "models" / "pump-ae.onnx").read_bytes(), rows_of(READINGS))
    np.testing.assert_allclose(scores, wanted, rtol=1e-6)


def test_the_alert_begins_with_the_third_high_score_and_names_the_sensor(verdicts: dict[str, list[bytes]]):
    parsed = [json.loads(payload) for payload in verdicts[FORMS[0]]]
    first = next(row for row, verdict in enumerate(parsed) if verdict["alert"])
    assert [verdict["score"] > 3.5 for verdict in parsed[first - 3 : first + 1]] == [False, True, True, True]
    assert 200 <= first + FILLING < 215
    assert parsed[first]["sensor"] == "flow"


def test_no_graph_here_has_a_problem(capsys: pytest.CaptureFixture[str]):
    assert main.main(["check", *map(str, sorted(GRAPHS.glob("*.yaml")))]) == 0
    assert capsys.readouterr().err == ""
