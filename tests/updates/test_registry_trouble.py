"""Registries that are busy, that want our password elsewhere, and that send more than there is room for."""

import gzip
import resource
import tarfile
import threading
from contextlib import contextmanager
from functools import partial

import pytest
from test_registry import members
from test_registry_access import BLOB, WASM, endless, hostile, manifest

from flowrt.registry import bundle, room
from flowrt.registry.blobs import Blobs, Refused, digest_of
from flowrt.registry.oci import Registry, parse_reference, related
from flowrt.registry.store import Store
from flowrt.registry.transfer import Link, download
from flowrt.registry.tries import Busy
from flowrt.registry.trust import Policy

MANIFEST = "/v2/x/manifests/1"
OPEN = {"/v2/": (200, {}, [])}
GOOD = {**OPEN, MANIFEST: (200, {}, [manifest()]), BLOB: (200, {}, [WASM])}


class Turns(dict):
    """Answers that change: those of a path one after the other, the last one for ever. Others stay."""

    def get(self, path, default):
        found = super().get(path, default)
        return (found.pop(0) if len(found) > 1 else found[0]) if isinstance(found, list) else found


def pull(server, blobs, link=None, **who):
    link = link or Link(sleep=lambda _: None)
    return Registry(server.host, insecure=True, **who).pull(parse_reference(f"{server.host}/x:1"), "x", blobs, link)


# Busy.


def test_a_busy_registry_is_asked_again_when_it_says(tmp_path):
    slept = []
    answers = {
        **GOOD,
        MANIFEST: [(429, {"Retry-After": "7"}, []), GOOD[MANIFEST]],
        BLOB: [(503, {"Retry-After": "11"}, []), (502, {}, []), (429, {"Retry-After": "Wed, 21 Oct"}, []), GOOD[BLOB]],
    }
    with hostile(Turns(answers)) as server:
        entry = pull(server, Blobs(tmp_path), Link(sleep=slept.append))

    assert entry.content == digest_of(WASM)
    assert slept == [7.0, 11.0, 2.0, 4.0]


@pytest.mark.parametrize("kind", ["registry", "web server"])
def test_one_that_stays_busy_is_given_up(tmp_path, kind):
    slept = []
    blobs, link = Blobs(tmp_path), Link(sleep=slept.append)
    answers = {**OPEN, MANIFEST: (503, {"Retry-After": "5"}, [b"later"]), "/m": (503, {"Retry-After": "5"}, [])}
    with hostile(answers) as server, pytest.raises(Busy, match="answered 503"):
        pull(server, blobs, link) if kind == "registry" else download(f"http://{server.host}/m", blobs, link)

    assert slept == [5.0] * 4


def test_one_that_is_busy_for_an_hour_is_not_waited_for(tmp_path):
    answers = {**OPEN, MANIFEST: (429, {"Retry-After": "3600"}, [])}
    with hostile(answers) as server, pytest.raises(Busy, match="answered 429"):
        pull(server, Blobs(tmp_path), Link(sleep=pytest.fail))


def test_a_signature_that_a_busy_registry_does_not_give_is_not_a_missing_one(tmp_path):
    beside = f"/v2/x/manifests/{digest_of(manifest()).replace(':', '-')}.sig"
    with hostile({**GOOD, beside: (503, {}, [])}) as server, pytest.raises(Busy):
        pull(server, Blobs(tmp_path))


def test_a_registry_that_does_not_say_a_tags_digest_is_asked_for_the_manifest(tmp_path):
    with hostile(GOOD) as server:
        assert Registry(server.host, insecure=True).resolve(parse_reference(f"{server.host}/x:1")) == digest_of(
            manifest()
        )


# Our password.


@contextmanager
def thieves(answers):
    """A registry, and another host that it leads to: by another name, as another port may be the registry's as well."""
    with hostile({"/token": (200, {}, [b'{"token": "t"}']), "/take?digest=": (201, {}, [])}) as thief:
        elsewhere = f"http://localhost:{thief.host.split(':')[1]}"
        with hostile(answers(elsewhere)) as server:
            yield server, thief


def assert_nothing_stolen(thief):
    assert [seen for seen in thief.seen if "Authorization" in seen[2]] == []


def test_a_password_for_tokens_goes_to_the_registrys_own_domain_only(tmp_path):
    def answers(elsewhere):
        asks = {"WWW-Authenticate": f'Bearer realm="{elsewhere}/token",service="s"'}
        return {"/v2/": (401, asks, []), MANIFEST: (401, asks, [])}

    with thieves(answers) as (server, thief):
        with pytest.raises(Refused, match=r"wants our password to go to http://localhost.*not of 127\.0\.0\.1"):
            pull(server, Blobs(tmp_path), user="me", password="secret")
        assert_nothing_stolen(thief)


def test_who_the_registry_leads_to_may_not_ask_for_it_either(tmp_path):
    def answers(elsewhere):
        return {**OPEN, MANIFEST: GOOD[MANIFEST], BLOB: (307, {"Location": f"{elsewhere}/blob"}, [])}

    with thieves(answers) as (server, thief):
        asks = {"WWW-Authenticate": f'Bearer realm="http://{thief.host}/token",service="s"'}
        thief.answers["/blob"] = (401, asks, [])
        with pytest.raises(Refused, match="where the registry leads, answered 401"):
            pull(server, Blobs(tmp_path), user="me", password="secret")
        assert_nothing_stolen(thief)


def test_an_upload_to_another_host_goes_without_it(tmp_path):
    def answers(elsewhere):
        basic = {"WWW-Authenticate": "Basic realm=x"}
        place = {"Location": f"{elsewhere}/take"}
        return {"/v2/": (401, basic, []), "/v2/x/blobs/uploads/": (202, place, [])}

    store = Store(tmp_path)
    entry = store.add(WASM, "x:1", Policy(), source="here")
    with thieves(answers) as (server, thief):
        registry = Registry(server.host, insecure=True, user="me", password="secret")
        with pytest.raises(Refused):
            registry.push(entry, parse_reference(f"{server.host}/x:1"), store.blobs)
        assert "PUT" in [method for method, _, _ in thief.seen]
        assert_nothing_stolen(thief)


@pytest.mark.parametrize(
    ("url", "host", "may"),
    [
        ("https://registry.example.com/token", "registry.example.com:5000", True),
        ("https://auth.example.com/token", "registry.example.com", True),
        ("https://example.com/token", "registry.example.com", True),
        ("https://example.com.evil.org/token", "registry.example.com", False),
        ("https://auth.example.org/token", "registry.example.com", False),
        ("https://notexample.com/token", "registry.example.com", False),
        ("https://10.1.2.3/token", "10.9.2.3", False),
        ("https://gateway/token", "registry", False),
        ("https:///token", "registry", False),
    ],
)
def test_where_a_password_may_go(url, host, may):
    assert related(url, host) is may


# Room.


def test_what_is_packed_is_not_unpacked(tmp_path):
    """64 MiB of zeros travel as 64 KiB: nothing asks for that, and what is sent all the same is taken as it is."""
    packed = gzip.compress(b"".join(endless()))
    answers = {**GOOD, BLOB: (200, {"Content-Encoding": "gzip", "Content-Length": str(len(packed))}, [packed])}
    with hostile(answers) as server:
        with pytest.raises(Refused, match="more than the 8 bytes that were announced came"):
            pull(server, Blobs(tmp_path))
        encodings = {headers["Accept-Encoding"] for method, _, headers in server.seen if method == "GET"}
    assert encodings == {"identity"}


def test_what_has_no_room_is_not_begun(tmp_path, monkeypatch):
    blobs = Blobs(tmp_path)
    with hostile(GOOD) as server:
        with pytest.raises(Refused, match="disk: it has 8, and artifacts may take 7; see --disk"):
            pull(server, blobs, Link(most=7))
        monkeypatch.setattr(room, "SPARE_BYTES", 2**62)
        with pytest.raises(Refused, match="disk: 8 are to come"):
            pull(server, blobs)
        assert BLOB not in [path for _, path, _ in server.seen]


@contextmanager
def largest_file(size):
    """The kernel refuses to write more into one, as it does where a quota is used up."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_gets_full_is_not_kept_full(tmp_path):
    blobs = Blobs(tmp_path)
    answers = {"/m": (200, {"Content-Length": str(2**20), "ETag": "1"}, endless(2**20))}
    with hostile(answers) as server, largest_file(2**18), pytest.raises(Refused, match="is removed"):
        download(f"http://{server.host}/m", blobs, Link(sleep=pytest.fail))

    assert list(blobs.folder.glob(".part-*")) == []


def test_two_pulls_at_once_bring_it_once(tmp_path):
    both = threading.Event()

    def slowly():
        both.wait(20)
        yield WASM

    entries = []
    with hostile({**GOOD, BLOB: (200, {}, slowly())}) as server:
        act = partial(pull, server, Blobs(tmp_path))
        threads = [threading.Thread(target=lambda: entries.append(act())) for _ in range(2)]
        for thread in threads:
            thread.start()
        both.set()
        for thread in threads:
            thread.join(30)
        asked = [path for _, path, _ in server.seen].count(BLOB)

    assert (len(entries), asked) == (2, 1)


def test_a_tag_that_moves_in_the_midst_of_a_pull_is_taken_as_it_was(tmp_path):
    later = manifest(b"another")
    with hostile(Turns({**GOOD, MANIFEST: [GOOD[MANIFEST], (200, {}, [later])]})) as server:
        entry = pull(server, Blobs(tmp_path))

    assert (entry.manifest, entry.content) == (digest_of(manifest()), digest_of(WASM))


def a_stick(tmp_path):
    store = Store(tmp_path / "store")
    entry = store.add(WASM + bytes(100_000), "x:1", Policy(), source="here")
    path = tmp_path / "stick.flowrt"
    bundle.export(store, [entry], path)
    return path


def test_a_stick_brings_nothing_that_its_index_does_not_name(tmp_path):
    path = a_stick(tmp_path)
    stray = b"stray"
    name = f"blobs/sha256/{digest_of(stray)[7:]}"
    members(path, lambda found: [*found, (name, stray, tarfile.REGTYPE)])
    other = Store(tmp_path / "other")

    with pytest.raises(Refused, match="has no place in a bundle"):
        bundle.take(other, path, Policy())

    assert not other.blobs.has(digest_of(stray))
    assert list(other.all()) == []


def test_a_stick_that_holds_more_than_there_is_room_for(tmp_path):
    other = Store(tmp_path / "other")

    with pytest.raises(Refused, match="artifacts may take 48"):
        bundle.take(other, a_stick(tmp_path), Policy(), most=50_000)

    assert list(other.all()) == []
