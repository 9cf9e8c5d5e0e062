"""Who asks for updates at the wrong time, for the wrong thing or for nothing that makes sense changes nothing."""

import json
import socket

import pytest
from test_following import TEXT, Gateway
from update_bench import marking

from flowrt.updates.control import Control, ask, socket_path
from flowrt.updates.requests import Requests

LONG = TEXT.replace("probation: 0", "probation: 1h")


@pytest.fixture
def gateway(bench):
    made = Gateway(bench)
    control = Control(made.state, Requests(made.manager, made.load, made.state))
    yield made
    control.close()
    made.close()


def asked(gateway, **request):
    return list(ask(gateway.state, {"do": "apply", "path": str(gateway.path), **request}))


def said(gateway, data):
    """What the socket answers to some bytes."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(socket_path(gateway.state)))
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read().decode()


def test_two_updates_at_once(gateway):
    gateway.bench.module("two", marking("2"))
    gateway.path.with_name("two.wasm").rename(gateway.bench.folder / "m2.wasm")
    text = LONG.replace('"features:stable"', "m2.wasm")
    first = ask(gateway.state, {"do": "apply", "path": str(gateway.path), "text": text})
    while next(first).get("state") != "probation":
        pass

    [refused] = asked(gateway, text=TEXT.replace("topic: out", "topic: other"))
    assert refused["error"] == "an update of graph 'g' is under way; wait for it or roll it back"

    assert list(ask(gateway.state, {"do": "rollback", "graph": "g"}))[-1]["outcome"] == "rolledBack"
    assert list(first)[-1]["outcome"] == "rolledBack"
    assert gateway.runs() == "1"


def test_a_rollback_of_a_rollback_leads_forth_again(gateway):
    """And to nothing where what was before is no longer whole."""
    gateway.bench.module("two", marking("2"))
    gateway.path.with_name("two.wasm").rename(gateway.bench.folder / "m2.wasm")
    assert asked(gateway, text=TEXT.replace('"features:stable"', "m2.wasm"))[-1]["outcome"] == "proven"

    for letter in "121":
        assert list(ask(gateway.state, {"do": "rollback", "graph": "g"}))[-1]["outcome"] == "proven"
        assert gateway.runs() == letter

    before = gateway.manager.journal.read("g").previous
    (digest,) = before.modules.values()
    gateway.store.blobs.path(digest).write_bytes(b"damaged")
    [refused] = ask(gateway.state, {"do": "rollback", "graph": "g"})
    assert refused["error"] == "what was proven before is no longer whole in the store"
    assert gateway.runs() == "1"


MISTAKEN = {
    "two mistakes": (TEXT.replace("Type: map", "Type: mop").replace("to: {name: out}", "to: {name: x}"), 2),
    "half of a file": (TEXT[: len(TEXT) // 2], 1),
    "nothing": ("", 1),
    "no text": ("\0\1", 1),
    "half a character": ("name: \ud800", 0),
}  # fmt: skip


@pytest.mark.parametrize("kind", MISTAKEN)
def test_a_graph_with_mistakes(gateway, kind):
    text, problems = MISTAKEN[kind]
    answers = asked(gateway, text=text)

    assert len([one for one in answers if "problem" in one]) >= problems
    assert "error" in answers[-1]
    assert gateway.runs() == "1"
    assert gateway.manager.journal.read("g").candidate is None


REQUESTS = [
    b"", b"\n", b"[]\n", b"{}\n", b'"apply"\n', b"\xff\xfe\n", b"[" * 100_000 + b"\n", b"9" * 9000 + b"\n",
    json.dumps({"do": "apply", "path": "\0", "text": TEXT}).encode() + b"\n",
    json.dumps({"do": "apply", "path": "x" * 9000, "text": TEXT}).encode() + b"\n",
    json.dumps({"do": "apply", "path": "/x", "text": 7}).encode() + b"\n",
    json.dumps({"do": "apply", "artifact": "../../etc/passwd:1", "graph": "g"}).encode() + b"\n",
    json.dumps({"do": "apply", "artifact": "sha256:/etc/passwd", "graph": "g"}).encode() + b"\n",
    json.dumps({"do": "apply", "artifact": "file:///etc/passwd", "graph": "g"}).encode() + b"\n",
    json.dumps({"do": "rollback", "graph": "../g"}).encode() + b"\n",
    json.dumps({"do": "rollback", "graph": "g"}).encode() + b"\n",
]  # fmt: skip


def test_what_cannot_be_understood_is_answered_and_nothing_else(gateway):
    for request in REQUESTS:
        answers = [json.loads(line) for line in said(gateway, request).splitlines()]
        assert answers, request[:80]
        assert "error" in answers[-1], (request[:80], answers[-1])
    [state] = ask(gateway.state, {"do": "status"})
    assert (state["graphs"][0]["graph"], gateway.runs()) == ("g", "1")
