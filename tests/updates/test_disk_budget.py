"""One disk budget: what was used longest ago gives way, what versions that run or ran before need never does."""

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowrt.cli.main import main
from flowrt.registry.blobs import Refused, digest_of
from flowrt.registry.budget import Item, disk_budget, keep_within, make_room, to_let_go, usage
from flowrt.registry.store import Store
from flowrt.registry.trust import Policy

ITEMS = st.lists(st.tuples(st.integers(0, 100), st.integers(0, 10), st.booleans()), max_size=12).map(
    lambda found: [Item(str(number), *one) for number, one in enumerate(found)]
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)  # on a busy machine it is
@given(ITEMS, st.integers(0, 500))
def test_the_longest_unused_give_way_and_what_is_needed_never(items, budget):
    gone = to_let_go(items, budget)
    stay = [item for item in items if item not in gone]

    assert not any(item.needed for item in gone)
    assert sum(item.size for item in stay) <= budget or all(item.needed for item in stay)
    loose = [item.used for item in stay if not item.needed]
    assert not gone or not loose or max(item.used for item in gone) <= min(loose)


@pytest.fixture
def store(tmp_path):
    """Five artifacts of 1000 bytes, the first used longest ago, and compiled code of the second and the third."""
    made = Store(tmp_path / "s" / "store")
    code = tmp_path / "cache" / "code"
    code.mkdir(parents=True)
    for number in range(5):
        entry = made.add(bytes([number]) * 1000, f"m:{number}.0", Policy(), source="here")
        for digest in entry.digests:
            os.utime(made.blobs.path(digest), (number + 1, number + 1))
    for number in (1, 2):
        file = code / f"{digest_of(bytes([number]) * 1000)[7:23]}-abc.code"
        file.write_bytes(bytes(1000))
        os.utime(file, (number + 1.5, number + 1.5))
    return made


def versions(store):
    return [entry.version for entry in store.all()]


def test_names_and_code_go_with_what_was_not_used(store, tmp_path):
    needed = {digest_of(bytes([1]) * 1000)}
    before = usage(store, needed, 10_000, tmp_path / "cache")
    assert (before.code, before.needed > 2000) == (2000, True)

    keep_within(store, needed, before.total - 1500, tmp_path / "cache")  # the first, and its manifest

    assert versions(store) == ["1.0", "2.0", "3.0", "4.0"]
    after = keep_within(store, needed, 0, tmp_path / "cache")
    assert store.blobs.has(digest_of(bytes([1]) * 1000))  # it runs
    assert [file.name[:16] for file in (tmp_path / "cache" / "code").iterdir()] == [digest_of(bytes([1]) * 1000)[7:23]]
    assert after.total == after.needed


def test_all_of_the_cache_folder_counts_and_models_that_modules_carry_stay(store, tmp_path):
    for folder, name in (("graphs", "0123.graph"), ("embedded", "4567.onnx")):
        (tmp_path / "cache" / folder).mkdir()
        (tmp_path / "cache" / folder / name).write_bytes(bytes(500))

    assert usage(store, set(), 10_000, tmp_path / "cache").code == 2000 + 2 * 500
    keep_within(store, set(), 0, tmp_path / "cache")

    left = [path.name for path in (tmp_path / "cache").glob("*/*")]
    assert left == ["4567.onnx"]


def test_what_has_no_room_is_not_taken(store, tmp_path):
    needed = {digest_of(bytes([number]) * 1000) for number in range(5)}
    entry = store.made(*store.blobs.put_unnamed([bytes(5000)]), "large:1.0", source="here")

    with pytest.raises(Refused, match="disk: 8Ki are not enough for it"):
        make_room(store, needed, entry.digests, 8192, tmp_path / "cache")

    assert not store.blobs.has(entry.content)
    assert all(store.blobs.has(digest) for digest in needed)


def test_a_pull_makes_room_for_itself(store, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("FLOWRT_DISK", "4Ki")
    (tmp_path / "new-1.0.wasm").write_bytes(b"\0asm" + bytes(1500))
    state = ["--state", str(tmp_path / "s")]

    assert main(["pull", str(tmp_path / "new-1.0.wasm"), *state]) == 0

    assert "0.0" not in versions(store)
    assert store.get("new:1.0").size == 1504
    assert main(["pull", str(tmp_path / "new-1.0.wasm"), "--disk", "1Ki", *state]) == 1
    assert "artifacts may take 1Ki; see --disk" in capsys.readouterr().err
    assert main(["store", "usage", *state]) == 0
    assert "compiled code 0" in capsys.readouterr().out
    assert disk_budget() == 4096
