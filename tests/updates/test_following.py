"""What is behind a followed tag or address is brought when it is new, tried, and not tried again when it was worse."""

import hashlib
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from registry_server import RegistryServer, needs_registry
from update_bench import HEAD, MODULES, chain, marking

from flowrt.cli import loading
from flowrt.graph.load import load
from flowrt.graph.remote import Access, Follow
from flowrt.graph.resolve import Stored
from flowrt.registry.trust import Policy, make_key, signed
from flowrt.runtime.runtime import Runtime
from flowrt.runtime.surroundings import Surroundings
from flowrt.testing import FakeEndpoints
from flowrt.updates.arrivals import Arrivals
from flowrt.updates.following import Following
from flowrt.updates.manager import Manager
from flowrt.values import replace

QUICK = "updates: {shadow: 0, probation: 0, messages: 5, bounds: {latency: 1000}}\n"
TEXT = HEAD + chain(("m", 'module: "features:stable"'), more=QUICK)


class Gateway:
    """A graph under traffic whose module is in the store, and what looks after the tag."""

    def __init__(self, bench, text=TEXT):
        self.bench = bench
        self.state = bench.folder / "state"
        self.path = bench.folder / "graph.yaml"
        self.path.write_text(text)
        self.manager = Manager(self.state, bench.events.append, self.load, 5.0)
        self.store = self.manager.store
        self.store.add(marking("1"), "features:stable", Policy(), source="here")
        plan, problems = self.load(self.path, None, Stored(find=self.store.find))
        assert plan is not None, problems
        bench.ends = FakeEndpoints(bench.feed)
        around = Surroundings(bench.events.append, self.state, open_endpoints=bench.ends.open)
        bench.runtime = Runtime([plan], around)
        bench.runtime.start()
        self.manager.attach(bench.runtime)
        self.arrivals = Arrivals(self.manager, self.load, self.state)
        self._ending = threading.Event()
        self._feeder = threading.Thread(target=self._feed)
        self._feeder.start()

    def load(self, path, data, stored):
        stored = stored if stored.find is not Stored().find else replace(stored, find=self.store.find)
        return load(
            path, sets={}, environ={}, bindings={}, modules_dirs=[MODULES], inspect_module=loading._inspect_module,
            inspect_model=loading._inspect_model, machine=loading.this_machine(), data=data, stored=stored,
        )  # fmt: skip

    def _feed(self):
        while not self._ending.wait(0.002):
            self.bench.feed([b".x"])

    def following(self, source, access=None):
        graph = self.bench.runtime.graphs[0]
        return Following(
            "g", (source,), lambda _: access, self.arrivals, self.state, self.bench.events.append, lambda: graph.updates
        )

    def runs(self):
        """The first letter of what leaves the graph."""
        operator = self.bench.runtime.graphs[0].plan.nodes["m"].module.digest
        return {digest(marking(letter)): letter for letter in "123"}[operator]

    def close(self):
        self._ending.set()
        self._feeder.join()
        self.manager.close()


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


@pytest.fixture
def gateway(bench):
    made = Gateway(bench)
    yield made
    made.close()


@contextmanager
def served(files):
    """A web server with ETags; what it was asked."""
    asked = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(f"{self.command} {self.path}")
            data = files.get(self.path)
            self.send_response(200 if data is not None else 404)
            if data is not None:
                self.send_header("ETag", f'"{digest(data)[7:20]}"')
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command == "GET" and data is not None:
                self.wfile.write(data)

        do_HEAD = do_GET  # noqa: N815 - as the library wants it

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_new_module_behind_an_address(gateway):
    files = {"/features.wasm": marking("2")}
    with served(files) as (url, asked):
        source = Follow(source=f"{url}/features.wasm", name="features:stable", every="1m")
        following = gateway.following(source)

        assert (following.look(source), gateway.runs()) == ("new", "2")
        assert gateway.store.get("features:stable").content == digest(marking("2"))
        asked.clear()
        assert following.look(source) == "same"
        assert asked == ["HEAD /features.wasm"]  # what a look costs

        files["/features.wasm"] = marking("3", "unreachable")
        assert (following.look(source), gateway.runs()) == ("new", "2")
        assert gateway.store.get("features:stable").content == digest(marking("2"))  # a start finds the good one
        asked.clear()
        assert following.look(source) == "known"
        assert gateway.following(source).look(source) == "known"  # after a restart too
        assert asked == ["HEAD /features.wasm"] * 2

        files["/features.wasm"] = marking("3")
        assert (following.look(source), gateway.runs()) == ("new", "3")


def test_a_new_graph_behind_an_address(gateway):
    files = {"/g.yaml": TEXT.replace("1.0.0", "1.1.0").replace("topic: out", "topic: other").encode()}
    with served(files) as (url, _):
        source = Follow(source=f"{url}/g.yaml", name="g:stable", every="1m")
        following = gateway.following(source)

        assert following.look(source) == "new"
        assert gateway.bench.runtime.graphs[0].plan.version == "1.1.0"

        files["/g.yaml"] = b"operations: nonsense"
        assert following.look(source) == "known"
        assert "the graph has problems" in gateway.bench.events[-1].reason
        files["/g.yaml"] = TEXT.replace("name: g", "name: another").encode()
        assert following.look(source) == "known"
        assert "a version of graph 'another', not of 'g'" in gateway.bench.events[-1].reason
        assert following.look(Follow(source=f"{url}/none.yaml", name="g:stable")) == "failed"


@needs_registry
def test_a_tag_that_moves(gateway, tmp_path, monkeypatch):
    """In a real registry, with a policy that wants signatures."""
    from flowrt.registry.oci import Registry, parse_reference

    secret, public = make_key()
    (tmp_path / "trust.toml").write_text(f'[keys.release]\nkey = """\n{public.decode()}"""\n')
    monkeypatch.setenv("FLOWRT_TRUST", str(tmp_path / "trust.toml"))
    made = type(gateway.store)(tmp_path / "made")
    with RegistryServer(tmp_path) as server:
        reference = parse_reference(f"{server.host}/acme/features:stable")
        source = Follow(source=f"oci://{server.host}/acme/features:stable", every="1m")
        following = gateway.following(source, Access(host=server.host, insecure=True, rate=10_000_000))

        def push(letter, sign):
            entry = made.add(marking(letter), "features:stable", Policy(), source="here", downgrade=True)
            if sign:
                entry = replace(entry, signatures=(signed(entry, secret),))
            Registry(server.host, insecure=True).push(entry, reference, made.blobs)

        assert following.look(source) == "failed"  # nothing is there yet
        push("2", sign=False)
        assert (following.look(source), gateway.runs()) == ("failed", "1")
        assert "is not signed by a trusted key: it has no signature" in gateway.bench.events[-1].reason
        push("2", sign=True)
        assert (following.look(source), gateway.runs()) == ("new", "2")
        assert gateway.store.trusted(digest(marking("2")), following._arrivals.fetcher.policy())
        assert following.look(source) == "same"
        push("3", sign=True)
        assert (following.look(source), gateway.runs()) == ("new", "3")
        # Its name has moved on; what ran before is trusted all the same.
        assert gateway.store.trusted(digest(marking("2")), following._arrivals.fetcher.policy())
        running = gateway.manager.rollback("g")
        assert running.ended.wait(20)
        assert (running.outcome, gateway.runs()) == ("proven", "2")


def test_tags_are_looked_at_by_themselves(gateway):
    files = {"/features.wasm": marking("2")}
    with served(files) as (url, _):
        following = gateway.following(
            Follow(source=f"{url}/features.wasm", name="features:stable", every="1s", jitter=0)
        )
        following.start()
        try:
            counts = gateway.bench.runtime.graphs[0].updates.looks
            for _ in range(600):
                if counts.get("same"):
                    break
                threading.Event().wait(0.05)
            assert (counts["new"], gateway.runs()) == (1, "2")
        finally:
            following.close()
