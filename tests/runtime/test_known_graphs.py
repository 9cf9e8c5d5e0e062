"""A graph file that was read before is not parsed again, and nobody can tell by what comes of it."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from flowrt.graph.load import read_anew
from flowrt.problem import Severity
from flowrt.runtime import known_graphs
from flowrt.runtime.known_graphs import KnownGraphs

GRAPHS = sorted(Path(__file__).parents[2].joinpath("graphs").rglob("*.yaml"))
SOUND = b"""
endpoints: [{name: plant, mqtt: {host: 127.0.0.1, port: 1883}}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a]}
  - {operationType: sink, name: out, endpoint: plant, topic: b, qos: 1}
connections: [{from: {name: in}, to: {name: out}}]
"""


class Reader:
    """Reads anew, and counts."""

    def __init__(self, folder):
        self.times = 0
        self.folder = folder / "graphs"
        self._known = KnownGraphs(folder, self._anew)

    def _anew(self, *given):
        self.times += 1
        return read_anew(*given)

    def __call__(self, data, path="g.yaml", sets=None, environ=None):
        return self._known.read(data, path, sets or {}, environ or {})

    @property
    def files(self):
        return sorted(self.folder.glob("*.graph")) if self.folder.is_dir() else []


@pytest.fixture
def read(tmp_path):
    return Reader(tmp_path)


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.name)
def test_what_was_kept_is_what_was_read(read, path):
    data = path.read_bytes()
    assert read(data, str(path)) == read(data, str(path)) == read_anew(data, str(path), {}, {})


def test_a_file_is_read_once(read):
    first, second = read(SOUND), read(SOUND)
    assert read.times == 1
    sink = second.graph.file.operations[1]
    assert sink.model_fields_set == {"operation_type", "name", "endpoint", "topic", "qos"}
    assert second.graph.mark(("operations", 1)) == first.graph.mark(("operations", 1))


@pytest.mark.parametrize(
    ("data", "path", "sets"),
    [(SOUND + b"#", "g.yaml", {}), (SOUND, "other.yaml", {}), (SOUND, "g.yaml", {"x": "1"})],
    ids=["another text", "another place", "--set"],
)
def test_another_file_or_a_set_value_is_read_anew(read, data, path, sets):
    read(SOUND)
    read(data, path, sets)
    assert read.times == 2


def test_a_program_that_is_replaced_while_it_runs_keeps_what_it_reads_as_its_own(read, monkeypatch):
    read(SOUND)
    monkeypatch.setattr(known_graphs, "_files", lambda _: iter(["replaced"]))
    read(SOUND)
    assert (read.times, len(read.files)) == (1, 1)


def test_a_file_with_mistakes_is_not_kept(read):
    wrong = SOUND.replace(b"port: 1883", b"port: x").replace(b"qos: 1", b"qos: 7")
    for _ in range(2):
        assert len([found for found in read(wrong).problems if found.severity is Severity.ERROR]) == 2
    assert read.times == 2
    assert read.files == []


def test_what_the_environment_filled_in_is_never_written(read):
    data = SOUND.replace(b"host: 127.0.0.1", b"host: '${HOST:-127.0.0.1}'")
    read(data, environ={"HOST": "confidential.example"})
    assert read.files == []
    read(data)
    assert len(read.files) == 1
    found = read(data, environ={"HOST": "confidential.example"})
    assert found.graph.file.endpoints[0].options.host == "confidential.example"
    assert read.times == 3
    assert read(data).graph.file.endpoints[0].options.host == "127.0.0.1"
    assert read.times == 3


class Program:
    """What a file of values must not be."""

    def __reduce__(self):
        return os.mkdir, ("made-by-a-pickle",)


@pytest.mark.parametrize(
    "held",
    [Program(), os.system, {"a": Program()}, 3, subprocess.Popen, KnownGraphs, os._Environ],
    ids=["a call", "a function", "a call inside", "no reading", "a class", "a class of ours", "another class"],
)
def test_a_file_that_holds_anything_but_a_graph_is_a_miss(read, held, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    read(SOUND)
    known_graphs.write_own(read.files[0], pickle.dumps(held))
    assert read(SOUND).graph is not None
    assert read.times == 2
    assert not Path("made-by-a-pickle").exists()


def _truncate(file):
    file.write_bytes(file.read_bytes()[:-40])


def _flip(file):
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize(
    "damage", [_truncate, _flip, lambda file: file.write_bytes(b""), lambda file: file.chmod(0o666)],
    ids=["truncated", "a bit", "empty", "others may write it"],
)  # fmt: skip
def test_a_damaged_file_is_a_miss_and_is_replaced(read, damage):
    read(SOUND)
    damage(read.files[0])
    read(SOUND)
    read(SOUND)
    assert read.times == 2


def test_a_folder_that_others_may_write_is_not_used(read):
    read.folder.mkdir()
    read.folder.chmod(0o777)
    read(SOUND)
    read(SOUND)
    assert (read.times, read.files) == (2, [])


def test_no_more_than_a_bound_is_kept(read, monkeypatch):
    monkeypatch.setattr(known_graphs, "KEPT_MAX", 3)
    for number in range(5):
        read(SOUND, f"{number}.yaml")
    assert len(read.files) == 3


def test_a_start_with_a_known_file_loads_neither_parser_nor_validation(tmp_path):
    graph = tmp_path / "g.yaml"
    graph.write_bytes(SOUND)
    program = (
        "import argparse, sys\n"
        "from flowrt.cli import loading\n"
        "parser = argparse.ArgumentParser()\n"
        "loading.add_arguments(parser)\n"
        "plans, problems = loading.load_all(parser.parse_args(sys.argv[1:]), to_run=True)\n"
        "assert plans, problems\n"
        "from flowrt.cli import serve\n"
        "print(sorted({'pydantic', 'yaml'} & sys.modules.keys()))"
    )

    def start():
        environ = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "CACHE_DIRECTORY": ""}
        command = [sys.executable, "-c", program, str(graph)]
        return subprocess.run(command, env=environ, text=True, capture_output=True, check=True).stdout.strip()

    assert (start(), start()) == ("['pydantic', 'yaml']", "[]")
