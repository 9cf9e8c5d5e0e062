"""A start loads what its graph needs and nothing else: counted, as time depends on the machine."""

import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = {
    "wasmtime", "numpy", "onnxruntime", "paho", "mqtt5", "prometheus_client", "http.server", "asyncio",
    "multiprocessing", "amqtt", "onnx", "lark", "re2",
}  # fmt: skip
FILES = "endpoints: [{name: in, file: {path: in.jsonl}}, {name: out, file: {path: out.jsonl}}]"
GUEST = "{operationType: map, name: between, module: passthrough:1.0.0}"


def graph(folder, node):
    """The path of a graph: a source, perhaps a node, and a sink."""
    nodes = ["in", *(["between"] if node else []), "out"]
    lines = [
        "metadata: {name: start}",
        FILES,
        "operations:",
        "  - {operationType: source, name: in, endpoint: in}",
        *([f"  - {node}"] if node else []),
        "  - {operationType: sink, name: out, endpoint: out}",
        "connections:",
        *(f"  - {{from: {{name: {a}}}, to: {{name: {b}}}}}" for a, b in pairwise(nodes)),
    ]
    (folder / "in.jsonl").write_text("{}\n")
    (folder / "graph.yaml").write_text("\n".join(lines))
    return folder / "graph.yaml"


def loaded(*arguments):
    """The heavy libraries that a command imports before it ends."""
    command = [sys.executable, "-X", "importtime", "-m", "flowrt.cli.main", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=os.environ, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-2000:]
    return HEAVY & set(re.findall(r"^import time: .*\| +(\S+)$", done.stderr, re.MULTILINE))


@pytest.mark.parametrize(
    ("node", "options", "expected"),
    [
        (None, (), set()),
        (GUEST, (), {"wasmtime"}),
        (None, ("--metrics=127.0.0.1:0",), {"prometheus_client", "http.server"}),
    ],
    ids=["files alone", "a guest", "metrics"],
)
def test_a_run_loads_what_its_graph_needs(tmp_path, node, options, expected):
    path = graph(tmp_path, node)
    assert loaded("run", path, f"--state={tmp_path}", f"--modules={ROOT}/modules", *options) == expected


@pytest.mark.parametrize(
    "file", ["graphs/pump-anomaly.yaml", "graphs/hello-file.yaml"], ids=["guests and a model", "files"]
)
def test_a_check_loads_no_engine(file):
    assert loaded("check", file) == set()
