"""`flowrt state`: what operators keep, from the command line."""

import json

import pytest

from flowrt.cli import state as command
from flowrt.cli.main import main
from flowrt.errors import StartError
from flowrt.runtime.places import STATE_STORE
from flowrt.state.files import Seed, line_of, seeds
from flowrt.state.store import Entry, StateStore, Version


@pytest.fixture
def flowrt(tmp_path, capsys):
    """`flowrt("get", "k")`: exit status, output and error of `flowrt state get k`."""

    def call(*words):
        status = main(["state", words[0], "--state", str(tmp_path), *map(str, words[1:])])
        told = capsys.readouterr()
        return status, told.out, told.err

    return call


def test_a_key_from_beginning_to_end(flowrt):
    assert flowrt("set", "site", "north") == (0, "", "")
    assert flowrt("get", "site") == (0, "north", "")
    assert flowrt("set", "site", "south", "--new") == (1, "", "flowrt state: the key site is there already\n")
    assert flowrt("set", "lock", "me", "--expires", "1h")[0] == 0
    lines = flowrt("list")[1].splitlines()
    assert [line.split("  ")[:2] for line in lines] == [["lock", "2 bytes"], ["site", "5 bytes"]]
    assert "expires" in lines[0]
    assert flowrt("list", "si")[1].splitlines() == lines[1:]
    assert flowrt("del", "site", "gone") == (1, "", "flowrt state: there is no key gone\n")
    assert flowrt("get", "site") == (1, "", "flowrt state: there is no key site\n")


def test_an_export_is_imported_as_it_was(flowrt, tmp_path):
    store = StateStore(tmp_path / STATE_STORE)
    store.set(b"\xff", b"\x00\xfe", expires_ms=3_600_000)
    store.set("ü".encode(), b'{"a": 1}')
    store.close()
    exported = flowrt("export")[1]
    (tmp_path / "export.jsonl").write_text(exported)
    assert flowrt("del", "ü")[0] == 0
    assert flowrt("import", tmp_path / "export.jsonl", "--new")[1] == "1 of 2 keys set\n"
    assert flowrt("export")[1] == exported


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('[{"a": "x"}, {"b": {"c": 1}}]', [Seed(b"a", b"x"), Seed(b"b", b'{"c":1}')]),
        ('{"a": "x", "key": 5}', [Seed(b"a", b"x"), Seed(b"key", b"5")]),
        ('{"key": "a", "value": "x", "expires": 7}', [Seed(b"a", b"x", 7)]),
        ('{"key": "a", "value": "x"}\n{"key64": "/w==", "value64": ""}\n', [Seed(b"a", b"x"), Seed(b"\xff", b"")]),
        ("[]", []),
    ],
)
def test_forms_of_files(text, found):
    assert seeds(text) == found


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "it is neither JSON nor JSON lines"),
        ("[1]", "1 is no object of keys and values"),
        ('{"key": "a", "value": "x"}\n{"key": 1}', 'line 2: {"key": 1} is not {"key": …, "value": …}'),
        ('{"key": "a", "value64": "*"}', "line 1: value64 is no base64"),
        ('{"key": "a", "value": "x", "expires": "soon"}', 'line 1: expires is "soon", and it takes milliseconds'),
    ],
)
def test_what_is_wrong_with_a_file(text, words):
    with pytest.raises(ValueError, match=words.replace("{", r"\{").replace("*", r"\*")):
        seeds(text)


def test_a_runtime_begins_with_seeds_and_keeps_what_it_has(tmp_path):
    (tmp_path / "seeds.json").write_text('[{"a": "1"}, {"b": "2"}]')
    store = StateStore(tmp_path / STATE_STORE)
    store.set(b"a", b"mine")
    command.seed(tmp_path / "seeds.json", tmp_path)
    assert store.items() == [(b"a", b"mine"), (b"b", b"2")]
    store.close()
    (tmp_path / "seeds.json").write_text(json.dumps({"k" * 5000: 1}))
    with pytest.raises(StartError, match="a key of 5000 bytes; the most is 4096"):
        command.seed(tmp_path / "seeds.json", tmp_path)


def test_without_a_store_there_is_nothing_to_look_at(flowrt, tmp_path):
    with pytest.raises(StartError):
        command.seed(tmp_path / "gone.json", tmp_path)
    assert flowrt("list")[0] == 3


def test_lines_are_read_as_they_were_written():
    entry = Entry(b"k", b"v", Version(1, 2), 99)
    assert seeds(line_of(entry)) == [Seed(b"k", b"v", 99)]
