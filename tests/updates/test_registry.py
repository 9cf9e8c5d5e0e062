"""Artifacts: kept whole, signed, carried by a real registry, by HTTP and by one file; what is not right is refused."""

import io
import json
import tarfile
import threading
from functools import partial
from http.server import HTTPServer, SimpleHTTPRequestHandler

import pytest
from hypothesis import given
from hypothesis import strategies as st
from registry_server import RegistryServer, needs_registry

from flowrt.cli.main import main
from flowrt.errors import StartError
from flowrt.registry import bundle
from flowrt.registry.artifact import Signature, order_of
from flowrt.registry.blobs import Blobs, Refused, digest_of
from flowrt.registry.store import Store
from flowrt.registry.transfer import Link, fetch
from flowrt.registry.trust import Key, Policy, make_key, read_policy, signed, verify
from flowrt.values import replace

WASM = b"\0asm\1\0\0\0"
NONE = Policy()


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def keys():
    return make_key()


def trusting(public, names=("*",)):
    return Policy("signed", (Key("release", public, names),))


def test_an_artifact_goes_by_name_version_and_digest(store):
    store.add(WASM + b"1", "acme/pump:1.9.0", NONE, source="here")
    entry = store.add(WASM + b"2", "acme/pump:1.10.0", NONE, source="here")

    assert store.get("acme/pump").version == "1.10.0"
    assert (entry.kind, store.blobs.read(entry.content)) == ("module", WASM + b"2")
    assert store.find("acme/pump:1.9.0", None) == store.blobs.path(digest_of(WASM + b"1"))
    assert store.find("anything", digest_of(WASM + b"2")[7:]) == store.blobs.path(entry.content)
    assert store.find("other", None) is None


def test_what_was_damaged_is_noticed_and_removed(store):
    entry = store.add(WASM, "pump:1.0.0", NONE, source="here")
    store.blobs.path(entry.content).write_bytes(WASM + b"!")

    with pytest.raises(Refused, match="damaged in the store and is removed"):
        store.blobs.read(entry.content)
    assert store.find("pump:1.0.0", None) is None


REFUSED = {
    "truncated": ("truncated: 5 of 8 bytes came", lambda blobs: blobs.put_parts([WASM[:5]], digest_of(WASM), 8)),
    "too long": ("more than the 8 bytes", lambda blobs: blobs.put_parts([WASM, b"!"], digest_of(WASM), 8)),
    "swapped": ("what came is not", lambda blobs: blobs.put_parts([WASM[:7] + b"!"], digest_of(WASM), 8)),
    "no digest": ("is not a digest", lambda blobs: blobs.path("sha256:../../etc/passwd")),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_content_that_is_not_what_its_digest_says_leaves_nothing_behind(store, kind):
    words, put = REFUSED[kind]
    with pytest.raises(Refused, match=words):
        put(store.blobs)
    assert list(store.blobs.all()) == []
    assert not store.blobs.folder.exists() or list(store.blobs.folder.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["../../etc/passwd:1", "a/../b:1", "/abs:1", "pump", "pump:", "pump:1/2", "a\0b:1", ":1"]
)
def test_names_that_would_leave_the_store_are_refused(store, name):
    with pytest.raises(Refused, match="names no artifact"):
        store.add(WASM, name, NONE, source="here")


def test_an_older_version_is_a_downgrade(store):
    store.add(WASM, "pump:2.0.0", NONE, source="here")

    with pytest.raises(Refused, match=r"downgraded: pump:1.9.0 is older than 2.0.0, which is here"):
        store.add(WASM, "pump:1.9.0", NONE, source="here")
    assert store.add(WASM, "pump:1.9.0", NONE, source="here", downgrade=True).version == "1.9.0"


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.integers(0, 30)), min_size=2))
def test_versions_are_ordered_by_their_numbers(versions):
    texts = [".".join(map(str, version)) for version in versions]
    assert sorted(texts, key=order_of) == [".".join(map(str, version)) for version in sorted(versions)]
    assert order_of("1.0.0-rc1") < order_of("1.0.0") < order_of("1.0.1-rc1")


# Signatures.


def test_a_signature_by_a_trusted_key_is_taken(store, keys):
    secret, public = keys
    entry = store.add(WASM, "pump:1.0.0", NONE, source="here")
    entry = replace(entry, signatures=(signed(entry, secret),))

    assert verify(store.take(entry, trusting(public)), trusting(public)) == "release"
    assert store.trusted(entry.content, trusting(public))


def test_what_is_not_signed_as_the_policy_asks_is_refused(store, keys):
    secret, public = keys
    other_secret, _ = make_key()
    entry = store.add(WASM, "pump:1.0.0", NONE, source="here")
    another = store.add(WASM + b"2", "pump:1.1.0", NONE, source="here")
    good = signed(entry, secret)
    cases = {
        "it has no signature": ((), public),
        "is not by key 'release'": ((signed(entry, other_secret),), public),
        "swapped: the signature is for sha256:": ((signed(another, secret),), public),
        "swapped: the signature is for version 9": ((signed(replace(entry, version="9"), secret),), public),
        "swapped: the signature is for 'x', not": ((signed(replace(entry, name="x"), secret),), public),
        "something that is no statement": ((Signature(b"[1]", good.signature),), public),
    }
    for words, (signatures, key) in cases.items():
        with pytest.raises(Refused, match=r"not signed by a trusted key.*" + words):
            store.take(replace(entry, signatures=signatures), trusting(key))
    with pytest.raises(Refused, match=r"key 'release' may not sign pump"):
        store.take(replace(entry, signatures=(good,)), trusting(public, ("valve-*",)))


def test_a_policy_that_cannot_be_understood_is_no_lax_one(tmp_path, keys):
    path = tmp_path / "trust.toml"
    path.write_text(f'require = "signed"\n[keys.a]\nnames = ["pump*"]\nkey = """\n{keys[1].decode()}"""\n')
    assert [key.names for key in read_policy(path).keys] == [("pump*",)]
    assert read_policy(tmp_path / "none") == Policy()
    for text in ("require = 'perhaps'", "requires = 'signed'", "[keys.a]\nkey = 'no'", "["):
        path.write_text(text)
        with pytest.raises(Exception, match="trust policy"):
            read_policy(path)


def test_every_mistake_of_a_policy_is_told(tmp_path):
    path = tmp_path / "trust.toml"
    path.write_text(
        'require = "perhaps"\nrequired = 1\nkeys.a = {file = "/nowhere/a.pub"}\nkeys.b = {key = "no"}\nkeys.c = 1\n'
    )
    with pytest.raises(StartError) as told:
        read_policy(path)
    assert str(told.value) == (
        f"the trust policy {path}: 'required' is unknown; there are require and [keys.NAME]; "
        "require is one of nothing, signed, not 'perhaps'; key 'a': /nowhere/a.pub: No such file or directory; "
        "key 'b': it holds no public key in PEM, Ed25519 or ECDSA P-256; key 'c': it is a table, [keys.NAME]"
    )


# One file.


def exported(store, tmp_path, keys=None):
    entry = store.add(WASM, "pump:1.0.0", NONE, source="here")
    if keys is not None:
        entry = store.take(replace(entry, signatures=(signed(entry, keys[0]),)), NONE)
    path = tmp_path / "stick.flowrt"
    bundle.export(store, [entry], path)
    return entry, path


def test_a_bundle_carries_artifacts_with_their_signatures(store, tmp_path, keys):
    entry, path = exported(store, tmp_path, keys)
    other = Store(tmp_path / "other")

    assert bundle.take(other, path, trusting(keys[1])) == [entry]
    assert other.blobs.read(entry.content) == WASM


def members(path, change):
    """The bundle with its members changed: a list of (name, bytes, type)."""
    with tarfile.open(path) as tar:
        found = [(member.name, tar.extractfile(member).read(), tarfile.REGTYPE) for member in tar]
    with tarfile.open(path, "w") as tar:
        for name, data, kind in change(found):
            member = tarfile.TarInfo(name)
            member.size, member.type, member.linkname = len(data), kind, "/etc/passwd"
            tar.addfile(member, io.BytesIO(data) if kind == tarfile.REGTYPE else None)


BUNDLES = {
    "leaves the folder": ("path: '../evil' has no place", lambda found: [("../evil", b"x", tarfile.REGTYPE), *found]),
    "absolute": ("path: '/etc/evil' has no place", lambda found: [("/etc/evil", b"x", tarfile.REGTYPE), *found]),
    "a link": ("path: 'index.json' is not a plain file", lambda found: [("index.json", b"", tarfile.SYMTYPE), *found]),
    "swapped": (
        "what came is not",
        lambda found: [(name, data.replace(WASM, WASM[:7] + b"!"), kind) for name, data, kind in found],
    ),
    "a name that leaves": (
        "names no artifact",
        lambda found: [(name, data.replace(b'"pump"', b'"../../pump"'), kind) for name, data, kind in found],
    ),
    "nothing in it": ("names no artifact", lambda found: found[1:]),
    "a blob less": ("is not in the store", lambda found: found[:1]),
}


@pytest.mark.parametrize("kind", BUNDLES)
def test_a_bundle_that_is_not_right_is_refused(store, tmp_path, kind):
    words, change = BUNDLES[kind]
    _, path = exported(store, tmp_path)
    members(path, change)
    other = Store(tmp_path / "other")

    with pytest.raises(Refused, match=words):
        bundle.take(other, path, NONE)
    assert list(other.all()) == []
    assert {path.name for path in tmp_path.iterdir()} <= {"other", "stick.flowrt", "store"}


def test_a_truncated_bundle_is_refused(store, tmp_path):
    _, path = exported(store, tmp_path)
    path.write_bytes(path.read_bytes()[:1400])
    with pytest.raises(Refused):
        bundle.take(Store(tmp_path / "other"), path, NONE)


# Transfers.


def test_a_transfer_goes_on_where_it_broke_off_and_keeps_to_its_rate(tmp_path):
    blobs, data = Blobs(tmp_path), bytes(range(256)) * 40
    asked, slept = [], []

    def open_at(begun):
        asked.append(begun)

        def parts():
            yield data[begun : begun + 4000]
            if len(asked) < 3:
                raise ConnectionError
            yield data[begun + 4000 :]

        return parts(), True

    link = Link(1000.0, clock=lambda: 0.0, sleep=slept.append)
    fetch(blobs, digest_of(data), len(data), open_at, link)

    assert asked == [0, 4000, 8000]
    assert sum(slept) >= len(data) / 1000 - 1
    assert blobs.read(digest_of(data)) == data


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def http(tmp_path):
    folder = tmp_path / "www"
    folder.mkdir()
    server = HTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield folder, f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def flowrt(tmp_path, *arguments):
    return main([*arguments, "--state", str(tmp_path / "s")])


def test_pulling_by_http_with_a_pin(http, tmp_path, capsys):
    folder, url = http
    (folder / "pump-1.2.0.wasm").write_bytes(WASM)

    assert flowrt(tmp_path, "pull", f"{url}/pump-1.2.0.wasm#{digest_of(WASM).replace(':', '=')}") == 0
    assert capsys.readouterr().out == f"pump:1.2.0 module {digest_of(WASM)} 8\n"
    assert flowrt(tmp_path, "pull", f"{url}/pump-1.2.0.wasm#sha256={'0' * 64}") == 1
    assert "swapped" in capsys.readouterr().err
    assert flowrt(tmp_path, "pull", f"{url}/none-1.0.0.wasm") == 1
    assert "answered 404" in capsys.readouterr().err


# A real registry.


@needs_registry
def test_a_registry_carries_an_artifact_and_its_signature(tmp_path, capsys, keys, monkeypatch):
    (tmp_path / "pump-1.2.0.wasm").write_bytes(WASM)
    (tmp_path / "release.key").write_bytes(keys[0])
    trust = tmp_path / "trust.toml"
    trust.write_text(f'require = "signed"\n[keys.release]\nkey = """\n{keys[1].decode()}"""\n')
    with RegistryServer(tmp_path) as server:
        target = f"oci://{server.host}/acme/pump:1.2.0"
        assert flowrt(tmp_path, "pull", str(tmp_path / "pump-1.2.0.wasm")) == 0
        assert flowrt(tmp_path, "push", "pump:1.2.0", target, "--insecure") == 0
        pushed = capsys.readouterr().out.split("@")[-1].strip()

        monkeypatch.setenv("FLOWRT_TRUST", str(trust))
        other = tmp_path / "other"
        assert main(["pull", target, "--insecure", "--state", str(other)]) == 1
        assert "pump:1.2.0 is not signed by a trusted key: it has no signature" in capsys.readouterr().err

        key = ["--key", str(tmp_path / "release.key")]
        assert flowrt(tmp_path, "store", "sign", "pump:1.2.0", *key) == 0
        assert flowrt(tmp_path, "push", "pump:1.2.0", target, "--insecure") == 0
        assert main(["pull", f"{target}@{pushed}", "--insecure", "--state", str(other)]) == 0
        assert main(["store", "list", "--state", str(other)]) == 0
        assert capsys.readouterr().out.endswith(f"{digest_of(WASM)} 8 signed by release\n")
        assert main(["pull", f"{target}@sha256:{'1' * 64}", "--insecure", "--state", str(other)]) == 1


@needs_registry
def test_a_layer_is_taken_whatever_its_media_type(tmp_path):
    """As the samples' own workflow pushes modules, and as the documentation says graphs are pushed."""
    from flowrt.registry.oci import Registry, parse_reference

    store = Store(tmp_path / "store")
    with RegistryServer(tmp_path) as server:
        registry = Registry(server.host, insecure=True)
        for path, media_type, data, kind in (
            ("m", "application/vnd.wasm.content.layer.v1+wasm", WASM, "module"),
            ("g", "application/yaml", b"metadata: {name: g}\n", "graph"),
            ("o", "application/x-who-knows", b"weights", "model"),
        ):
            layer = {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}
            config = {"mediaType": "application/vnd.microsoft.aio.graph.v1+yaml", "digest": digest_of(b"{}"), "size": 2}
            manifest = {"schemaVersion": 2, "config": config, "layers": [layer]}
            for blob in (data, b"{}"):
                registry._upload(path, blob)
            registry._put_manifest(path, "1.0.0", json.dumps(manifest).encode())
            entry = registry.pull(parse_reference(f"{server.host}/{path}:1.0.0"), path, store.blobs, Link())
            assert (entry.kind, store.blobs.read(entry.content)) == (kind, data)


@needs_registry
def test_a_registry_that_asks_for_a_password(tmp_path, capsys):
    bcrypt = pytest.importorskip("crypt")
    if bcrypt.METHOD_BLOWFISH not in bcrypt.methods:
        pytest.skip("this system makes no bcrypt")
    (tmp_path / "pump-1.0.0.wasm").write_bytes(WASM)
    (tmp_path / "word").write_text("secret\n")
    with RegistryServer(tmp_path, user="me", password="secret") as server:
        target = f"oci://{server.host}/pump:1.0.0"
        file = str(tmp_path / "pump-1.0.0.wasm")
        assert flowrt(tmp_path, "push", file, target, "--insecure") == 1
        assert capsys.readouterr().err != ""
        who = ["--user", "me", "--password-file", str(tmp_path / "word")]
        assert flowrt(tmp_path, "push", file, target, "--insecure", *who) == 0
        assert main(["pull", target, "--insecure", "--state", str(tmp_path / "o"), *who]) == 0


GRAPH = """\
metadata: {name: g, version: '1'}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints: [{name: lines, file: {path: "-"}}]
operations:
  - {operationType: source, name: in, endpoint: lines}
  - {operationType: map, name: m, module: "marking:1.0.0"}
  - {operationType: sink, name: out, endpoint: lines}
connections:
  - {from: {name: in}, to: {name: m}}
  - {from: {name: m}, to: {name: out}}
"""


def test_a_graph_finds_its_modules_in_the_store_and_runs_only_what_is_signed(tmp_path, keys, monkeypatch, capsys):
    from update_bench import marking

    state, graph = tmp_path / "s", tmp_path / "graph.yaml"
    graph.write_text(GRAPH)
    (tmp_path / "marking-1.0.0.wasm").write_bytes(marking("1"))
    (tmp_path / "release.key").write_bytes(keys[0])
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    state = tmp_path / "flowrt"
    assert main(["pull", str(tmp_path / "marking-1.0.0.wasm"), "--state", str(state)]) == 0
    (tmp_path / "marking-1.0.0.wasm").unlink()
    assert main(["check", str(graph)]) == 0

    (state / "trust.toml").write_text(f'[keys.release]\nkey = """\n{keys[1].decode()}"""\n')
    capsys.readouterr()
    assert main(["check", str(graph)]) == 1
    assert "untrusted: operation 'm'" in capsys.readouterr().err
    key = ["--key", str(tmp_path / "release.key")]
    assert main(["store", "sign", "marking:1.0.0", *key, "--state", str(state)]) == 0
    assert main(["check", str(graph)]) == 0
