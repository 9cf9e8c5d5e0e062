"""`flowrt test`: what it runs, what it writes, how it ends."""

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("FLOWRT_SHARED", ROOT.parent / "shared")) / "aio-conformance"
TWO = """\
graph: g.yaml
cases:
  - {name: good, in: [{topic: a/1, payload: {t: 1}}], out: {cold: [{}]}}
  - {name: bad, in: [{topic: a/1, payload: {t: 1}}], out: {cold: [{payload: "\\u0001"}]}}
"""


def test_every_graph_here_does_what_its_test_says(tests, capsys):
    status = tests.command(ROOT / "graphs", "--jobs", 2)
    assert status == 0, capsys.readouterr().out


def test_every_graph_here_has_a_test():
    tested = {path.name.removesuffix(".test.yaml") for path in (ROOT / "graphs").rglob("*.test.yaml")}
    assert {path.stem for path in (ROOT / "graphs").glob("*.yaml")} - tested == set()


@pytest.mark.skipif(not SHARED.exists(), reason="the sample tests are not here")
def test_the_official_tests_pass_on_their_own_graphs(tests, capsys):
    status = tests.command(SHARED / "tests", "--modules", ROOT / "modules" / "aio", "--jobs", 2)
    assert status == 0, capsys.readouterr().out


def test_a_failure_is_told_and_ends_with_1(tests, capsys):
    tests.write(TWO)
    assert tests.command(tests.folder, "--jobs", 1) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"pass  {tests.folder}/g.test.yaml: good (")
    assert lines[1].startswith(f"FAIL  {tests.folder}/g.test.yaml: bad (")
    assert lines[2] == '      cold[0].payload: expected "\\u0001", found {"t": 1}'
    assert lines[-2].endswith("g.yaml: 4 of 7 operations and arms reached; not reached: double, hot, warm.True")
    assert lines[-1] == "1 passed, 1 failed"


def test_results_as_junit(tests, tmp_path):
    tests.write(TWO)
    tests.command(tests.folder, "--jobs", 1, "--junit", tmp_path / "out.xml")
    (suite,) = ET.parse(tmp_path / "out.xml").getroot()
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    good, bad = suite
    assert (good.get("name"), len(good)) == ("good", 0)
    assert bad[0].get("message") == 'cold[0].payload: expected "\\u0001", found {"t": 1}'


def test_only_some_tests(tests, capsys):
    tests.write(TWO)
    assert tests.command(tests.folder, "--match", "good") == 0
    assert "1 passed, 0 failed" in capsys.readouterr().out


def test_in_processes_the_results_are_the_same(tests, capsys):
    tests.write(TWO)
    told = []
    for jobs in (1, 2):
        tests.command(tests.folder, "--jobs", jobs)
        told.append([line.partition(" (")[0] for line in capsys.readouterr().out.splitlines()])
    assert told[0] == told[1]


def test_usage(tests, capsys):
    assert tests.command(tests.folder) == 2
    assert "there is no test" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        tests.command(tests.folder / "gone")
    assert ended.value.code == 2


def test_a_file_with_problems_ends_with_1_and_the_others_run(tests, capsys):
    tests.write(TWO.replace("bad", "worse"))
    tests.write("graph: 1\nfoo: 2\n", "broken.test.yaml")
    assert tests.command(tests.folder, "--jobs", 1) == 1
    told = capsys.readouterr()
    assert len(told.err.splitlines()) == 3  # the graph, the unknown field, the missing cases
    assert "1 passed, 1 failed" in told.out


def documented():
    text = (ROOT / "docs" / "testing.md").read_text()
    return [block for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL) if "cases:" in block]


@pytest.mark.parametrize("block", documented())
def test_the_examples_of_the_documentation_pass(block, tests, tmp_path, capsys):
    for name in ("graphs", "modules"):
        (tmp_path / name).symlink_to(ROOT / name)
    assert tests.command(tests.write(block, "documented.test.yaml"), "--jobs", 1) == 0, capsys.readouterr().out


@pytest.mark.skipif(not SHARED.exists(), reason="the sample graphs are not here")
def test_the_official_complex_graph_folds_a_window(tests, tmp_path, capsys):
    """Sixteen operations of nine modules, unmodified: one reading becomes the document of its window."""
    (tmp_path / "input").mkdir()
    (tmp_path / "input" / "a.json").write_text('{"temperature": {"value": 1209, "unit": "F"}}')
    figures = {"count": 1, "unit": "C", "overtemp": True, "average": 653.8888888888889}
    payload = json.dumps({"temperature": [figures], "humidity": [], "object": []})
    (tmp_path / "expected.json").write_text(json.dumps({"topic": "sensors", "payload": payload}))
    lines = {
        "name": "complex",
        "graph": str(SHARED / "graph-complex.yaml"),
        "input": "input",
        "expected": "expected.json",
    }
    path = tests.write(json.dumps(lines), "complex.test.yaml")
    status = tests.command(path, "--modules", ROOT / "modules" / "aio", "--jobs", 1)
    assert status == 0, capsys.readouterr().out
