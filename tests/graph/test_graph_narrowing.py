"""A file is read by a model of only what it mentions; nobody can tell by what comes of it."""

from pathlib import Path

import pytest

from flowrt.graph import reading
from flowrt.graph.model import GraphFile
from flowrt.graph.narrowing import model_of
from flowrt.options import validation

GRAPHS = sorted(Path(__file__).parents[2].joinpath("graphs").rglob("*.yaml"))
SOUND = b"""
endpoints: [{name: plant, mqtt: {host: 127.0.0.1}}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: [a]}
  - {operationType: sink, name: out, endpoint: plant, topic: b}
connections: [{from: {name: in}, to: {name: out}}]
"""
FILES = {
    "sound": SOUND,
    "two mistakes": SOUND.replace(b"host:", b"hots:").replace(b"topics: [a]", b"topics: 3"),
    "an unknown type": SOUND.replace(b"operationType: sink", b"operationType: sinc"),
    "no type": SOUND.replace(b"operationType: sink, ", b""),
    "a type that is a number": SOUND.replace(b"operationType: sink", b"operationType: 4"),
    "an unknown section": SOUND + b"updatse: {}\n",
    "an unknown kind of endpoint": SOUND.replace(b"mqtt:", b"mqqt:"),
    "two kinds of endpoint": SOUND.replace(b"mqtt: {host: 127.0.0.1}", b"mqtt: {host: h}, file: {path: p}"),
    "null": SOUND + b"updates: null\nmodels: null\n",
    "a mapping in a list's place": SOUND.replace(b"endpoints: [", b"schemas: {}\nendpoints: ["),
    "the short form": b"modules: [{name: a, path: a.wasm}]\n",
    "nothing": b"metadata: {name: g}\n",
}


def outcome(data: bytes, path: str) -> tuple[object, object]:
    found = reading.read(data, path, {}, {})
    return found.graph and found.graph.file.model_dump(), found.problems


@pytest.mark.parametrize("data", [*FILES.values(), *map(Path.read_bytes, GRAPHS)], ids=[*FILES, *map(str, GRAPHS)])
def test_values_and_mistakes_are_those_of_the_whole_model(monkeypatch, data):
    narrow = outcome(data, "g.yaml")
    monkeypatch.setattr(reading, "model_of", lambda _: validation.model_of(GraphFile))
    assert narrow == outcome(data, "g.yaml")


def test_a_file_without_a_section_is_read_by_a_model_that_has_no_validator_for_it():
    root, _ = reading.parse(SOUND, "g.yaml")
    model = model_of(root)
    whole = validation.model_of(GraphFile)
    assert str(whole.model_fields["updates"].annotation) != str(model.model_fields["updates"].annotation)
    assert model_of(root) is model  # made once for files alike
