"""`flowrt profile` suggests quotas from a recording, as a patch that applies."""

import subprocess
import sys
from pathlib import Path

from flowrt.cli.suggest import Use

ROOT = Path(__file__).parents[2]


def test_a_suggestion_has_headroom_and_a_floor():
    busy = Use("n", messages=1000, cpu_seconds=1.0, memory=10 * 2**20, longest=0.03)
    idle = Use("n", messages=1, cpu_seconds=1e-6, memory=65536, longest=1e-5)

    assert busy.suggestion(100) == {"cpu": "200m", "memory": "15Mi", "deadline": "300ms"}
    assert idle.suggestion(None) == {"memory": "4Mi", "deadline": "20ms"}


def test_the_patch_applies_and_the_graph_passes_the_check(tmp_path):
    graph = tmp_path / "g.yaml"
    graph.write_text("""\
metadata: {name: g, version: "1"}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a]}
  - {operationType: map, name: copy, module: passthrough}
  - {operationType: sink, name: out, endpoint: plant, topic: b}
connections:
  - {from: {name: in}, to: {name: copy}}
  - {from: {name: copy}, to: {name: out}}
""")
    (tmp_path / "modules").symlink_to(ROOT / "modules")
    (tmp_path / "recording").write_text("x\n" * 500)
    command = [sys.executable, "-m", "flowrt.cli.main", "profile", "g.yaml", "--input", "recording", "--rate", "1000"]

    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)

    assert "copy: 500 messages" in done.stderr
    subprocess.run(["patch", "-p0"], cwd=tmp_path, input=done.stdout, capture_output=True, text=True, check=True)
    assert "name: copy, resources: {cpu: " in graph.read_text()
    check = [sys.executable, "-m", "flowrt.cli.main", "check", "g.yaml"]
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 0
