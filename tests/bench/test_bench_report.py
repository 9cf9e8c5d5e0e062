"""Figures of a run: what is quoted, whether it meets its target, and where it is written."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import numpy as np
import onnxruntime
import pytest

from benchmarks import graphs, report
from benchmarks.models import make_net
from benchmarks.plot import Line, svg
from benchmarks.report import Row, ratios
from benchmarks.systems import HERE
from flowrt.cli.main import main


@pytest.mark.parametrize(
    ("bounds", "met"),
    [
        ({"at_least": 2.5}, True),
        ({"at_least": 3.1}, False),
        ({"at_most": 3}, True),
        ({"at_most": 2.9}, False),
        ({}, None),
    ],
)
def test_the_median_of_the_rounds_meets_a_target_or_misses_it(bounds, met):
    row = Row("g", "pipeline", "messages/s against a peer", "×", ratios([30, 90, 20], [10, 10, 10]), **bounds)

    assert (row.median, row.met) == (3.0, met)
    assert row.cells[2:4] == ("3 ×", "2 to 9")


def test_what_was_left_out_says_why():
    row = Row("g", "pipeline", "against Node-RED", "×", (), at_least=2.5, note="there is no Node.js here")

    assert row.cells == ("pipeline", "against Node-RED", "left out", "there is no Node.js here", "≥ 2.5", "")
    assert row.met is None


def test_a_page_gets_its_figures_between_its_markers(tmp_path):
    page = tmp_path / "performance.md"
    begin, end = report.BEGIN.format(group="micro"), report.END.format(group="micro")
    page.write_text(f"# Performance\n{begin}\nold\n{end}\nThe rest.\n")
    rows = [Row("micro", "guest call", "a message", "µs", (2.5,), at_most=3), Row("curves", "topics", "rate", "", (1,))]

    missing = report.write_page(rows, page)

    text = page.read_text()
    assert missing == ["curves"]
    assert "| guest call | a message | 2.5 µs |  | ≤ 3 | met |" in text
    assert "old" not in text
    assert text.endswith("The rest.\n")
    report.write_page(rows, page)
    assert page.read_text() == text


def test_a_page_that_is_not_there_is_begun(tmp_path):
    page = tmp_path / "performance.md"

    missing = report.write_page([Row("curves", "10 topics", "messages/s", "", (52_000,))], page)

    assert missing == []
    assert "| 10 topics | messages/s | 52,000 |" in page.read_text()
    assert "![topics](performance/topics.svg)" in page.read_text()


def test_a_chart_is_sound_xml_with_every_point():
    chart = svg(
        "A & B", "topics", "messages/s", [Line("rate", (10, 100, 1000), (9.5, 40000, 3)), Line("MB", (10,), (80,))]
    )

    root = ET.fromstring(chart)
    names = [element.tag.rpartition("}")[2] for element in root.iter()]
    assert (names.count("polyline"), names.count("circle")) == (2, 4)


def test_the_committed_network_is_the_one_that_the_rule_gives():
    values = [(-1.0) ** i * i * 40 for i in range(16)]
    session = onnxruntime.InferenceSession(make_net.PATH)

    output = session.run(None, {"x": np.asarray([values], np.float32) * np.float32(0.1)})[0]

    assert float((output * output).sum()) == pytest.approx(make_net.score(values), rel=1e-5)


def test_every_graph_that_is_measured_is_sound(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(graphs, "FOLDER", tmp_path)
    made = [graphs.chain(32), *graphs.several(2)]

    status = main(
        ["check", *map(str, (*sorted(HERE.glob("*.yaml")), *made)), "--modules", str(HERE.parent / "modules")]
    )

    assert (status, capsys.readouterr().err) == (0, "")
