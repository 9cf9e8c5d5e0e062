"""An artifact that is truncated, swapped, unsigned, wrongly signed, downgraded or leads out of the store is refused
with a clear reason, whichever way it comes: pulled, applied to a running graph, or on a USB stick."""

import base64
import io
import json
import re
import tarfile

import pytest
from test_following import TEXT, Gateway
from test_registry import members
from test_registry_access import hostile
from update_bench import marking

from flowrt.cli.main import main
from flowrt.registry import bundle
from flowrt.registry.blobs import Blobs, Refused, digest_of
from flowrt.registry.oci import SIGNATURE_KEY, Registry, parse_reference
from flowrt.registry.store import Store
from flowrt.registry.transfer import Link
from flowrt.registry.trust import Policy, make_key, signed
from flowrt.updates.control import Control, ask
from flowrt.updates.journal import Journal, Record
from flowrt.updates.requests import Requests
from flowrt.values import replace

NONE = Policy()
WANTED = TEXT.replace("topic: out", "topic: elsewhere").encode()
KINDS = {
    "truncated": "truncated: |what came is not",
    "swapped": "what came is not",
    "unsigned": "not signed by a trusted key: it has no signature",
    "wrongly signed": "the signature is not by key 'release'",
    "signed for another": "swapped: the signature is for",
    "downgraded": r"downgraded: g:1\.0\.0 is older than 2\.0\.0, which is here",
    "path-traversing": "is not a digest|has no place|names no artifact",
}


class Sender:
    """Who sends the artifact, and spoils it."""

    def __init__(self, folder, kind):
        self.kind, self.folder = kind, folder
        self.store = Store(folder / "sender")
        self.secret, self.public = make_key()
        self.entry = self.store.add(WANTED, "g:1.0.0", NONE, source="here")
        signatures = () if kind == "unsigned" else (self._signature(),)
        self.entry = self.store.take(replace(self.entry, signatures=signatures), NONE)

    def _signature(self):
        if self.kind == "wrongly signed":
            return signed(self.entry, make_key()[0])
        if self.kind == "signed for another":
            return signed(replace(self.entry, name="other"), self.secret)
        return signed(self.entry, self.secret)

    def spoilt(self, data):
        return {"truncated": data[:-9], "swapped": data[:-9] + b"#########"}.get(self.kind, data)

    def registry(self):
        """What a registry answers."""
        manifest = self.store.blobs.read(self.entry.manifest)
        if self.kind == "path-traversing":
            manifest = manifest.replace(self.entry.content.encode(), b"sha256:../../../../etc/passwd")
        answers = {
            "/v2/": (200, {}, []),
            "/v2/g/manifests/1.0.0": (200, {}, [manifest]),
            f"/v2/g/blobs/{self.entry.content}": (200, {}, [self.spoilt(WANTED)]),
        }
        layers = []
        for one in self.entry.signatures:
            answers[f"/v2/g/blobs/{digest_of(one.payload)}"] = (200, {}, [one.payload])
            given = {SIGNATURE_KEY: base64.b64encode(one.signature).decode()}
            layers.append({"digest": digest_of(one.payload), "size": len(one.payload), "annotations": given})
        beside = f"/v2/g/manifests/{self.entry.manifest.replace(':', '-')}.sig"
        return {**answers, beside: (200, {}, [json.dumps({"schemaVersion": 2, "layers": layers}).encode()])}

    def stick(self):
        """A bundle with it."""
        path = self.folder / "stick.flowrt"
        bundle.export(self.store, [self.entry], path)
        if self.kind == "path-traversing":
            members(path, lambda found: [("blobs/../../../evil", b"x", tarfile.REGTYPE), *found])
        elif self.kind in ("truncated", "swapped"):
            members(path, lambda found: [(name, self.in_stick(data), kind) for name, data, kind in found])
        return path

    def in_stick(self, data):
        return self.spoilt(data) if data == WANTED else data


@pytest.fixture
def sender(bench, kind, monkeypatch):
    """And a receiver whose policy wants its key."""
    monkeypatch.setattr("flowrt.registry.tries.TRIES", 1)
    made = Sender(bench.folder, kind)
    state = bench.folder / "state"
    state.mkdir()
    (state / "trust.toml").write_text(f'require = "signed"\n[keys.release]\nkey = """\n{made.public.decode()}"""\n')
    if kind == "downgraded":
        Store(state / "store").add(WANTED + b"\n", "g:2.0.0", NONE, source="here")
    return made


def held(bench):
    return {entry.reference for entry in Store(bench.folder / "state/store").all()} - {"features:stable", "g:2.0.0"}


def run(capsys, *arguments):
    status = main([*map(str, arguments)])
    return status, capsys.readouterr().err


@pytest.mark.parametrize("kind", KINDS)
def test_pulled(bench, sender, kind, capsys):
    with hostile(sender.registry()) as server:
        status, said = run(
            capsys, "pull", f"oci://{server.host}/g:1.0.0", "--insecure", "--state", bench.folder / "state"
        )
    assert status == 1
    assert held(bench) == set()
    assert_refused(said, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_on_a_stick(bench, sender, kind, capsys):
    status, said = run(capsys, "store", "import", sender.stick(), "--state", bench.folder / "state")
    assert (status, held(bench)) == (1, set())
    assert_refused(said, kind)
    assert not list(bench.folder.rglob("evil"))


@pytest.mark.parametrize("kind", KINDS)
def test_applied(bench, sender, kind):
    """What runs goes on."""
    with hostile(sender.registry()) as server:
        access = f"updates: {{registries: [{{host: '{server.host}', insecure: true}}], "
        bench.module("unsigned", marking("1"))
        gateway = Gateway(bench, TEXT.replace("updates: {", access))
        control = Control(gateway.state, Requests(gateway.manager, gateway.load, gateway.state))
        try:
            running = bench.runtime.graphs[0].plan
            order = {"do": "apply", "artifact": f"oci://{server.host}/g:1.0.0", "graph": ""}
            *_, last = ask(gateway.state, order)
            assert_refused(last["error"], kind)
            assert bench.runtime.graphs[0].plan is running
            assert held(bench) == set()
        finally:
            control.close()
            gateway.close()


@pytest.mark.parametrize("kind", ["good"])
def test_what_is_right_is_taken_by_each_way(bench, sender, kind, capsys):
    """The same without a fault, or the tests above would prove nothing."""
    state = bench.folder / "state"
    with hostile(sender.registry()) as server:
        assert run(capsys, "pull", f"oci://{server.host}/g:1.0.0", "--insecure", "--state", state) == (0, "")
    assert held(bench) == {"g:1.0.0"}
    assert run(capsys, "store", "remove", "g:1.0.0", "--state", state) == (0, "")
    assert run(capsys, "store", "import", sender.stick(), "--state", state)[0] == 0
    assert held(bench) == {"g:1.0.0"}


def assert_refused(said, kind):

    assert re.search(KINDS[kind], said), said
    assert "Traceback" not in said


CLUMSY = {
    "pull of nothing": (["pull", "nowhere.wasm"], "^nowhere.wasm: No such file or directory$"),
    "pull from nobody": (["pull", "http://127.0.0.1:1/x.wasm"], "^http://127.0.0.1:1/x.wasm: Connection refused$"),
    "pull in another way": (["pull", "ftp://127.0.0.1/x.wasm"], "nothing is brought that way; name a file, "),
    "pull of a name without a host": (["pull", "oci://x"], "names nothing in a registry"),
    "pull of a folder": (["pull", "."], "directory"),
    "push of what is not here": (["push", "pump:1.0.0", "oci://127.0.0.1:1/pump:1.0.0"], "pump:1.0.0"),
    "removal of what is not here": (["store", "remove", "pump:1.0.0"], "pump:1.0.0"),
    "export of what is not here": (["store", "export", "out.flowrt", "pump:1.0.0"], "pump:1.0.0"),
    "export to a stick that is not there": (["store", "export", "stick/x"], "^stick: No such file or directory$"),
    "import of what is no bundle": (["store", "import", __file__], "bundle|bytes|file"),
    "apply without a runtime": (["apply", __file__], "no runtime listens at"),
    "apply of no file": (["apply", "nowhere.yaml"], "nowhere.yaml cannot be read: No such file or directory$"),
    "rollback without a runtime": (["rollback", "g"], "no runtime listens at"),
    "status without a runtime": (["status"], "no runtime listens at"),
}


@pytest.mark.parametrize("what", CLUMSY)
def test_clumsy_use_is_told_what_is_wrong(tmp_path, what, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arguments, words = CLUMSY[what]
    status, said = run(capsys, *arguments, "--state", tmp_path / "s")
    assert status in (1, 3)
    assert len(said.splitlines()) == 1

    assert re.search(words, said), said


def test_a_history_of_nothing_says_so(tmp_path, capsys):
    state = ["--state", tmp_path / "s"]
    assert run(capsys, "history", *state) == (0, f"no update is noted in {tmp_path}/s\n")
    assert run(capsys, "history", "pump", *state) == (0, f"no update of graph 'pump' is noted in {tmp_path}/s\n")


def test_a_history_that_somebody_has_edited_is_shown_all_the_same(tmp_path, capsys):
    """What a module said of itself stands in it, too: no control sequence reaches the terminal."""
    (tmp_path / "updates").mkdir()
    line = '{"at": %s, "graph": "g", "version": "1", "outcome": "refused", "reason": "init: \\u001b[31m\\n"}\n'
    (tmp_path / "updates" / "history.jsonl").write_text(line % '"x"' + line % "1e30" + line % "0" + "5\n{\n")

    status = main(["history", "--state", str(tmp_path)])

    assert (status, capsys.readouterr().out.splitlines()) == (
        0, [f"{at}  g 1  refused  init: \\x1b[31m" for at in ("at some time", "at some time", "1970-01-01 00:00:00Z")],
    )  # fmt: skip


def test_a_pair_of_keys_that_cannot_be_written_is_told(capsys):
    assert run(capsys, "store", "keygen", "/nowhere/release") == (
        1,
        "/nowhere/release.key: No such file or directory\n",
    )


NESTED = b"[" * 100_000


@pytest.mark.parametrize("answer", [NESTED, b'{"layers": [{"size": Infinity}]}', b'{"layers": [{"size": 1e999}]}'])
def test_a_manifest_that_nobody_means_is_refused(tmp_path, answer):
    digest = "sha256:" + "0" * 64
    answers = {
        "/v2/": (200, {}, []),
        "/v2/g/manifests/1": (200, {}, [answer.replace(b'"size"', b'"digest": "%s", "size"' % digest.encode())]),
    }
    with hostile(answers) as server:
        registry, reference = Registry(server.host, insecure=True), parse_reference(f"{server.host}/g:1")
        with pytest.raises(Refused):
            registry.pull(reference, "g", Blobs(tmp_path), Link(sleep=pytest.fail))


def test_what_a_stick_or_a_disk_nests_beyond_measure_is_no_index(tmp_path, capsys):
    with tarfile.open(tmp_path / "stick", "w") as tar:
        about = tarfile.TarInfo("index.json")
        about.size = len(NESTED)
        tar.addfile(about, io.BytesIO(NESTED))
    status, said = run(capsys, "store", "import", tmp_path / "stick", "--state", tmp_path / "s")
    assert (status, len(said.splitlines())) == (1, 1), said

    journal = Journal(tmp_path)
    journal.write("g", Record(base="sha256:1"))
    (file,) = tmp_path.glob("updates/*.graph")
    file.write_bytes(NESTED)
    assert (journal.read("g"), journal.digests()) == (Record(), set())
