"""Registries that ask who we are, and registries and servers that mean no good."""

import json
import socket
import threading
import time
import tracemalloc
from contextlib import contextmanager
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from registry_server import RegistryServer, TokenServer, needs_registry

from flowrt.cli.main import main
from flowrt.registry import bundle
from flowrt.registry.blobs import Blobs, Refused, digest_of
from flowrt.registry.oci import Registry, parse_reference
from flowrt.registry.store import Store
from flowrt.registry.transfer import Link, download, look
from flowrt.registry.trust import Policy

WASM = b"\0asm\1\0\0\0"
NONE = Policy()


@needs_registry
def test_a_registry_with_tokens(tmp_path, capsys):
    """Docker's registry and the protocol it speaks: a token for each repository, for pulling or for pushing."""
    (tmp_path / "pump-1.0.0.wasm").write_bytes(WASM)
    (tmp_path / "word").write_text("secret\n")
    who = ["--user", "me", "--password-file", str(tmp_path / "word")]

    def flowrt(*arguments, state="s"):
        status = main([*arguments, "--insecure", "--state", str(tmp_path / state)])
        return status, capsys.readouterr().err

    with TokenServer(tmp_path, "me", "secret") as tokens, RegistryServer(tmp_path, tokens=tokens) as server:
        file, shut, free = (str(tmp_path / "pump-1.0.0.wasm"), f"{server.host}/acme/pump", f"{server.host}/open/pump")
        assert flowrt("push", file, f"oci://{shut}:1.0.0", *who) == (0, "")
        assert flowrt("push", file, f"oci://{free}:1.0.0", *who) == (0, "")
        assert flowrt("pull", f"oci://{shut}:1.0.0", *who) == (0, "")
        assert {name for known, access in tokens.asked for name in [access[0]["name"]] if known} == {
            "acme/pump", "open/pump",
        }  # fmt: skip

        assert flowrt("pull", f"oci://{free}:1.0.0", state="anonymous") == (0, "")
        status, said = flowrt("pull", f"oci://{shut}:1.0.0", state="anonymous")
        assert (status, "answered 401" in said) == (1, True), said
        (tmp_path / "word").write_text("wrong\n")
        status, said = flowrt("pull", f"oci://{shut}:1.0.0", *who, state="wrong")
        assert (status, "asks who we are; give --user and --password-file" in said) == (1, True), said


@needs_registry
def test_one_client_pulls_and_then_pushes_with_tokens(tmp_path):
    """A token that was given for less, or has expired, is asked for anew; a body is sent again from its beginning."""
    store = Store(tmp_path / "store")
    entry = store.add(WASM + bytes(3 * 2**20), "pump:1.0.0", NONE, source="here")
    with TokenServer(tmp_path, "me", "secret") as tokens, RegistryServer(tmp_path, tokens=tokens) as server:
        registry = Registry(server.host, insecure=True, user="me", password="secret")
        with pytest.raises(Refused, match="answered 404: not there"):
            registry.resolve(parse_reference(f"{server.host}/acme/pump:1.0.0"))
        for path in ("acme/pump", "acme/other"):
            reference = parse_reference(f"{server.host}/{path}:1.0.0")
            registry.push(entry, reference, store.blobs)
            registry._oras.auth.token = "stale"
            assert registry.resolve(reference) == entry.manifest


# Who means no good.


class Hostile:
    """A server whose answers a test gives: from a path to status, headers and the parts of a body."""

    def __init__(self, answers):
        self.seen = []
        self.answers = answers
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                outer.seen.append((self.command, self.path, dict(self.headers)))
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, headers, parts = answers.get(self.path, (404, {}, ()))
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                try:
                    for part in parts if self.command == "GET" else ():
                        self.wfile.write(part)
                except OSError:  # whom it was for has had enough
                    pass

            do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815 - as the library wants it

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.host = f"127.0.0.1:{self._server.server_port}"


@contextmanager
def hostile(answers):
    made = Hostile(answers)
    thread = threading.Thread(target=made._server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        made._server.shutdown()
        thread.join()
        made._server.server_close()


def manifest(content=WASM, **layer):
    layer = {"mediaType": "x", "digest": digest_of(content), "size": len(content), **layer}
    return json.dumps({"schemaVersion": 2, "layers": [layer]}).encode()


def endless(total=64 * 2**20):
    for _ in range(total // 65536):
        yield bytes(65536)


BLOB = f"/v2/x/blobs/{digest_of(WASM)}"
LIES = {
    "another manifest than was asked for": (
        "swapped: what came for sha256:",
        {f"/v2/x/manifests/{digest_of(b'1')}": (200, {}, [manifest()])},
        f"x@{digest_of(b'1')}",
    ),
    "another blob than the manifest names": (
        "what came is not sha256:",
        {"/v2/x/manifests/1": (200, {}, [manifest()]), BLOB: (200, {}, [WASM[:7] + b"!"])},
        "x:1",
    ),
    "a manifest without end": (
        "answers with more than 4194304 bytes",
        {"/v2/x/manifests/1": (200, {}, endless())},
        "x:1",
    ),
    "a blob without end": (
        "more than the 8 bytes that were announced came",
        {"/v2/x/manifests/1": (200, {}, [manifest()]), BLOB: (200, {}, endless())},
        "x:1",
    ),
    "an error without end": ("answered 500", {"/v2/x/manifests/1": (500, {}, endless())}, "x:1"),
    "a blob of a size no disk has": (
        "is announced with 999999999999999 bytes",
        {"/v2/x/manifests/1": (200, {}, [manifest(size=999_999_999_999_999)])},
        "x:1",
    ),
    "a digest that is a path": (
        "is not a digest",
        {"/v2/x/manifests/1": (200, {}, [manifest(digest="sha256:../../../etc/passwd")])},
        "x:1",
    ),
    "a way to a file": (
        "leads to file:///etc/passwd, which is not followed",
        {"/v2/x/manifests/1": (200, {}, [manifest()]), BLOB: (302, {"Location": "file:///etc/passwd"}, [])},
        "x:1",
    ),
    "an index": (
        "it is an index of several platforms; name one of its manifests by digest",
        {"/v2/x/manifests/1": (200, {}, [b'{"schemaVersion": 2, "manifests": []}'])},
        "x:1",
    ),
    "a manifest that is no JSON": ("has no layer", {"/v2/x/manifests/1": (200, {}, [b"{"])}, "x:1"),
    "a manifest without bottom": ("makes no sense|no layer", {"/v2/x/manifests/1": (200, {}, [b"[" * 90_000])}, "x:1"),
    "annotations that are none": (
        "makes no sense",
        {"/v2/x/manifests/1": (200, {}, [manifest(annotations="x")]), BLOB: (200, {}, [WASM])},
        "x:1",
    ),
    "signatures that are none": (
        "makes no sense",
        {
            "/v2/x/manifests/1": (200, {}, [manifest()]),
            BLOB: (200, {}, [WASM]),
            f"/v2/x/manifests/{digest_of(manifest()).replace(':', '-')}.sig": (200, {}, [b'{"layers": [7]}']),
        },
        "x:1",
    ),
    "a way in a circle": (
        "redirects",
        {"/v2/x/manifests/1": (302, {"Location": "/v2/x/manifests/1"}, [])},
        "x:1",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", LIES)
def test_a_registry_that_lies(tmp_path, kind):
    words, answers, reference = LIES[kind]
    blobs = Blobs(tmp_path)
    with hostile({"/v2/": (200, {}, []), **answers}) as server:
        registry = Registry(server.host, insecure=True)
        with pytest.raises((Refused, OSError), match=words):
            registry.pull(parse_reference(f"{server.host}/{reference}"), "x", blobs, Link(sleep=lambda _: None))
    honest = {digest_of(WASM), digest_of(manifest()), digest_of(manifest(annotations="x"))}
    assert {digest for digest, _ in blobs.all()} <= honest


def test_the_password_goes_where_it_belongs(tmp_path):
    """Not to another host that the registry leads to, and from a secured registry nowhere in clear."""
    with hostile({}) as thief:
        elsewhere = f"http://localhost:{thief.host.split(':')[1]}/v2/x/manifests/1"
        answers = {
            "/v2/": (401, {"WWW-Authenticate": "Basic realm=x"}, []),
            "/v2/x/manifests/1": (302, {"Location": elsewhere}, []),
        }
        with hostile(answers) as server:
            registry = Registry(server.host, insecure=True, user="me", password="secret")
            with pytest.raises((Refused, OSError)):
                registry.resolve(parse_reference(f"{server.host}/x:1"))
            assert "Authorization" in server.seen[-1][2]
        assert [headers for _, _, headers in thief.seen if "Authorization" in headers] == []


FILES = {
    "leads to a file": ("file:///etc/passwd' is not allowed", (302, {"Location": "file:///etc/passwd"}, [])),
    "leads to FTP": ("leads to ftp://", (301, {"Location": "ftp://127.0.0.1/x"}, [])),
    "never ends": ("more than the 8 bytes", (200, {"Content-Length": "8", "ETag": "1"}, endless())),
    "says no length": ("does not say how long it is", (200, {}, endless())),
    "ends early": ("truncated: 5 of 8 bytes came", (200, {"Content-Length": "8"}, [WASM[:5]])),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_web_server_that_means_no_good(tmp_path, kind):
    words, answer = FILES[kind]
    blobs = Blobs(tmp_path)
    if kind == "never ends":  # what it said when it was asked for the size is not what it sends

        class Longer(dict):
            asked = 0

            def get(self, path, _):
                self.asked += 1
                return (200, {"Content-Length": "8", "ETag": "1"}, ()) if self.asked == 1 else (200, {}, endless())

        answers = Longer()
    else:
        answers = {"/x": answer}
    with hostile(answers) as server, pytest.raises((Refused, OSError), match=words):
        download(f"http://{server.host}/x", blobs, Link(sleep=lambda _: None))
    assert list(blobs.all()) == []


def trickle():
    for _ in range(400):
        time.sleep(0.05)
        yield b"1"


SLOW = {
    "its manifest": {"/v2/x/manifests/1": (200, {}, trickle())},
    "a blob": {"/v2/x/manifests/1": (200, {}, [manifest(size=4096)]), BLOB: (200, {}, trickle())},
    "a file": {"/x": (200, {"Content-Length": "4096"}, trickle())},
}


@pytest.mark.parametrize("kind", SLOW)
def test_what_trickles_in_does_not_hold_an_update_for_ever(tmp_path, kind, monkeypatch):
    """A byte now and then is not silence: it would go on for years."""
    monkeypatch.setattr("flowrt.registry.patience.ANSWER_SECONDS", 0.3)
    monkeypatch.setattr("flowrt.registry.patience.LEAST_RATE", 1000)
    blobs, began = Blobs(tmp_path), time.monotonic()
    with hostile({"/v2/": (200, {}, []), **SLOW[kind]}) as server:
        registry, reference = Registry(server.host, insecure=True), parse_reference(f"{server.host}/x:1")
        pull = partial(registry.pull, reference, "x", blobs, Link())
        with pytest.raises(Refused, match="too slow: "):
            pull() if kind != "a file" else download(f"http://{server.host}/x", blobs, Link())
    assert time.monotonic() - began < 15  # of the 20 s that it would have taken


@pytest.mark.parametrize("way", ["registry", "web server"])
def test_headers_that_trickle_in_do_not_either(tmp_path, way, monkeypatch):
    monkeypatch.setattr("flowrt.registry.patience.ANSWER_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        host = f"127.0.0.1:{listener.getsockname()[1]}"

        def answer():
            client, _ = listener.accept()
            with client:
                client.sendall(b"HTTP/1.1 200 OK\r\n")
                for number in range(400):
                    try:
                        client.sendall(b"X-%d: 1\r\n" % number)
                    except OSError:
                        return
                    time.sleep(0.05)

        thread = threading.Thread(target=answer)
        thread.start()
        monkeypatch.setattr("flowrt.registry.oci._asks_for", lambda _url: "token")
        registry = Registry(host, insecure=True)
        with pytest.raises(Refused, match="no answer has begun within"):
            registry.resolve(parse_reference(f"{host}/x:1")) if way == "registry" else look(f"http://{host}/x")
        thread.join(10)
        assert not thread.is_alive()


def test_a_download_goes_on_in_the_next_command(tmp_path):
    """As long as the server says that the file is the same one."""
    data = bytes(range(256)) * 1000
    asked = []

    class Flaky(dict):
        broken = True

        def get(self, path, _):
            begun = 0
            if server.seen[-1][0] == "GET":
                given = server.seen[-1][2].get("Range", "bytes=0-")
                begun = int(given.removeprefix("bytes=").removesuffix("-"))
                asked.append(begun)
            rest = data[begun : begun + 40_000] if self.broken else data[begun:]
            status = 206 if begun else 200
            return status, {"ETag": '"one"', "Content-Length": str(len(data) - begun)}, [rest]

    answers = Flaky()
    blobs = Blobs(tmp_path)
    with hostile(answers) as server:
        with pytest.raises(OSError):
            download(f"http://{server.host}/x", blobs, Link(sleep=lambda _: None))
        answers.broken = False
        assert download(f"http://{server.host}/x", blobs, Link()) == (digest_of(data), len(data))
    assert asked == [0, 40_000, 80_000, 120_000, 160_000, 200_000]


def test_a_large_model_goes_through_a_bundle_in_little_memory(tmp_path):
    store, other = Store(tmp_path / "store"), Store(tmp_path / "other")
    piece = bytes(range(256)) * 4096
    content = store.blobs.put_unnamed(piece for _ in range(24))
    entry = store.take(store.made(*content, "large:1.0.0", source="here"), NONE)
    path = tmp_path / "stick.flowrt"

    tracemalloc.start()
    try:
        size = bundle.export(store, [entry], path)
        assert bundle.take(other, path, NONE) == [entry]
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size > 24 * 2**20
    assert other.blobs.check(entry.content) == 24 * 2**20
    assert most < 8 * 2**20
