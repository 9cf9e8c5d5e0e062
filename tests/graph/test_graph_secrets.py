"""Certificates, keys and secrets that endpoints name are looked for, and only warned of: they may be elsewhere."""

import os

from flowrt.cli.main import main

GRAPH = """\
metadata: {{name: a, version: "1.0.0"}}
endpoints:
  - name: plant
    mqtt:
      host: 127.0.0.1
      tls:
        ca: {folder}/ca.pem
        cert: {folder}/pipe
      credentials:
        username: pump
        passwordFile: {folder}/word
operations:
  - {{operationType: source, name: s, endpoint: plant, topics: [a]}}
  - {{operationType: sink, name: t, endpoint: plant, topic: b}}
connections: [{{from: {{name: s}}, to: {{name: t}}}}]
"""


def test_each_file_that_is_no_use_is_warned_of_at_its_place(tmp_path, capsys):
    graph = tmp_path / "graph.yaml"
    graph.write_text(GRAPH.format(folder=tmp_path))
    os.mkfifo(tmp_path / "pipe")
    assert main(["check", str(graph)]) == 0
    said = capsys.readouterr().err.splitlines()
    assert [line.removeprefix(f"{graph}:").partition(";")[0] for line in said] == [
        f"7:13: warning: unreadable-secret: endpoint 'plant': {tmp_path}/ca.pem cannot be read here: No such file or "
        "directory",
        f"8:15: warning: unreadable-secret: endpoint 'plant': {tmp_path}/pipe cannot be read here: it is not a file",
        f"11:23: warning: unreadable-secret: endpoint 'plant': {tmp_path}/word cannot be read here: No such file or "
        "directory",
    ]


def test_files_that_are_there_are_not_mentioned(tmp_path, capsys):
    graph = tmp_path / "graph.yaml"
    graph.write_text(GRAPH.format(folder=tmp_path))
    for name in ("ca.pem", "pipe", "word"):
        (tmp_path / name).write_text("x")
    assert main(["check", str(graph)]) == 0
    assert capsys.readouterr().err == ""
