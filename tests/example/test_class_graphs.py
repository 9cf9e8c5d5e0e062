"""The classifiers' graphs: unseen pictures, log lines and vibration get the labels they should; with the model inside a
guest the results are the same."""

from __future__ import annotations

import io
import json
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from PIL import Image

from flowrt.cli import loading, main
from flowrt.problem import has_errors
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.testing import FakeEndpoints

ROOT = Path(__file__).parents[2]
GRAPHS = ROOT / "graphs"
sys.path.insert(0, str(ROOT))

from scripts.models import camera, logs, vibration  # noqa: E402


def run(graph: str, batches: list[list[bytes]], state: Path) -> list[dict[str, object]]:
    """What a graph publishes for these payloads, all of which it must take."""
    plans, problems = loading.load_all(main.parser(("check",)).parse_args(["check", str(GRAPHS / graph)]))
    assert not has_errors(problems)
    endpoints, events = FakeEndpoints(batches, topic="plant/one/in"), []
    runtime = Runtime(plans, Surroundings(events.append, state, open_endpoints=endpoints.open))
    runtime.start()
    assert runtime.graphs[0].finished.wait(60)
    runtime.stop(10)
    assert [event for event in events if event.level in ("warning", "error")] == []
    return [json.loads(message.payload) for message in endpoints.sinks["labels"].messages]


def right(found: list[dict[str, object]], labels: list[int], names: tuple[str, ...]) -> float:
    assert len(found) == len(labels)
    return np.mean([each["label"] == names[label] for each, label in zip(found, labels, strict=True)])


def jpeg(image: np.ndarray, **options: object) -> bytes:
    made = io.BytesIO()
    Image.fromarray(image).save(made, "JPEG", **{"quality": 90, **options})
    return made.getvalue()


def test_frames_of_a_camera(tmp_path: Path) -> None:
    images, labels = camera.pictures(11, 120)
    frames = [jpeg(image) if at % 2 else image.tobytes() for at, image in enumerate(images)]
    found = run("camera-class.yaml", [frames[:1], frames[1:40], frames[40:]], tmp_path)
    assert right(found, labels, (*camera.LABELS,)) >= 0.9


@pytest.mark.parametrize("graph", ["log-class.yaml", "log-class-guest.yaml"])
def test_lines_of_a_log(graph: str, tmp_path: Path) -> None:
    lines, labels = logs.lines(12, 300)
    payloads = [
        json.dumps({"message": line, "at": 5}).encode() if at % 2 else line.encode() for at, line in enumerate(lines)
    ]
    found = run(graph, [payloads], tmp_path)
    assert right(found, labels, logs.LABELS) >= 0.97


def test_a_model_inside_the_guest_gives_the_results_of_the_inference_operation(tmp_path: Path) -> None:
    payloads = [line.encode() for line in logs.lines(13, 200)[0]]
    batches = [payloads[:1], payloads[1:60], payloads[60:]]
    host, guest = (run(graph, batches, tmp_path / graph) for graph in ("log-class.yaml", "log-class-guest.yaml"))
    assert [each["label"] for each in host] == [each["label"] for each in guest]
    for one, other in zip(host, guest, strict=True):
        assert one["confidence"] == pytest.approx(other["confidence"], rel=1e-5)


def test_the_guest_has_the_model_of_the_graph() -> None:
    own = ROOT / "modules/log-classifier/log-class.onnx"
    assert own.read_bytes() == (GRAPHS / "models/log-class.onnx").read_bytes()
    assert own.read_bytes() in (ROOT / "modules/log-classifier/log-classifier.wasm").read_bytes()


def test_vibration_in_messages_of_any_length(tmp_path: Path) -> None:
    """Each of a motor's windows, whatever pieces the samples come in."""
    random = np.random.RandomState(14)
    for label, name in enumerate(vibration.LABELS):
        data = vibration.samples(random, label, 4096).tobytes()
        cuts = [0, 2, 100, 512, 700, 4000, 8192]
        pieces = [data[start:end] for start, end in pairwise(cuts)]
        found = run("vibration-class.yaml", [pieces], tmp_path / name)
        assert len(found) == 4096 // vibration.HOP - 1
        assert right(found, [label] * len(found), vibration.LABELS) >= 0.9


def test_a_spectrum_is_numpys(tmp_path: Path) -> None:
    """Scores of the engine on numpy's spectra are those of the graph on samples."""
    windows, _ = vibration.windows(15, 40)
    engine = onnxruntime.InferenceSession(GRAPHS / "models/vibration-class.onnx")
    wanted = engine.run(None, {"spectrum": np.stack([vibration.spectrum(window) for window in windows]).astype("f4")})[
        0
    ]
    found = run("vibration-class.yaml", [[windows.tobytes()]], tmp_path)[::2]
    assert [each["label"] for each in found] == [vibration.LABELS[best] for best in wanted.argmax(axis=1)]
    np.testing.assert_allclose([each["confidence"] for each in found], wanted.max(axis=1), atol=2e-4)
