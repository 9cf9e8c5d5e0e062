"""Compiled code on disk: found again, never trusted, safe for two at once."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from wasm_guests import batch, wasm

from flowrt.errors import StartError
from flowrt.quota.resources import Resources
from flowrt.values import replace
from flowrt.wasm.cache import CodeCache, compile_module
from flowrt.wasm.engine import Engine, Variant
from flowrt.wasm.factory import guest_factory
from flowrt.wasm.inspect import inspect_module

CODE = wasm()


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_second_start_compiles_nothing(engine, tmp_path):
    first, second = CodeCache(tmp_path), CodeCache(tmp_path)

    compile_module(engine, CODE, first)
    compile_module(engine, CODE, second)

    assert (first.hits, first.misses, second.hits, second.misses) == (0, 1, 1, 0)
    [file] = files(tmp_path)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700


def test_code_for_other_settings_is_another_file(engine, tmp_path):
    cache = CodeCache(tmp_path)
    interpreter = Engine(interpreter=True)

    compile_module(engine, CODE, cache)
    compile_module(engine, CODE, cache, Variant(fuel=True))
    compile_module(interpreter, CODE, cache)

    assert (cache.misses, len(files(tmp_path))) == (3, 3)
    interpreter.close()


@pytest.mark.parametrize("damage", [b"", b"junk", None], ids=["empty", "short", "one bit"])
def test_a_damaged_file_is_a_miss_and_is_replaced(engine, tmp_path, damage):
    cache = CodeCache(tmp_path)
    compile_module(engine, CODE, cache)
    [file] = files(tmp_path)
    sound = file.read_bytes()
    file.write_bytes(sound[:5000] + bytes([sound[5000] ^ 1]) + sound[5001:] if damage is None else damage)

    compile_module(engine, CODE, cache)
    compile_module(engine, CODE, cache)

    assert (cache.hits, cache.misses) == (1, 2)


def test_a_file_or_folder_that_others_may_write_is_not_used(engine, tmp_path):
    cache = CodeCache(tmp_path)
    compile_module(engine, CODE, cache)
    [file] = files(tmp_path)

    file.chmod(0o666)
    compile_module(engine, CODE, cache)
    assert cache.hits == 0

    file.parent.chmod(0o777)
    compile_module(engine, CODE, cache)
    assert cache.hits == 0


def test_without_a_folder_everything_is_compiled(engine, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    cache = CodeCache(tmp_path / "file" / "below")

    compile_module(engine, CODE, cache)

    assert (cache.hits, cache.misses) == (0, 1)


def test_systemds_folder_comes_before_the_users(monkeypatch, engine, tmp_path):
    monkeypatch.setenv("CACHE_DIRECTORY", str(tmp_path / "systemd"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    compile_module(engine, CODE, CodeCache())
    monkeypatch.delenv("CACHE_DIRECTORY")
    compile_module(engine, CODE, CodeCache())

    assert [len(files(tmp_path / name)) for name in ("systemd", "xdg/flowrt")] == [1, 1]


def test_two_starting_at_once_both_get_the_module(engine, tmp_path):
    barrier, made = threading.Barrier(4), []

    def start():
        barrier.wait()
        made.append(compile_module(engine, CODE, CodeCache(tmp_path)))

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert len(made) == 4
    assert len(files(tmp_path)) == 1


def test_the_factory_goes_from_a_file_to_guests(engine, tmp_path):
    path = tmp_path / "m.wasm"
    path.write_bytes(CODE)
    facts = inspect_module(path)
    options = {"emit": print, "graph": "g", "node": "n", "cache": CodeCache(tmp_path / "cache")}

    for _ in range(2):
        made = guest_factory(engine, facts, Resources(), **options)()
        assert made.map(batch(b"x")).payloads == [b"x"]
        made.close()
    assert options["cache"].hits == 1

    path.write_bytes(CODE + b"\0\1\0")
    with pytest.raises(StartError, match="has changed"):
        guest_factory(engine, facts, Resources(), **options)
    with pytest.raises(StartError, match="is a command"):
        guest_factory(engine, replace(facts, form="command"), Resources(), **options)
    path.unlink()
    with pytest.raises(StartError, match="cannot be read"):
        guest_factory(engine, facts, Resources(), **options)


def test_a_module_that_does_not_compile_is_told(engine):
    with pytest.raises(ValueError, match="not a WebAssembly binary"):
        compile_module(engine, b"(module)")
    with pytest.raises(ValueError, match="unexpected"):
        compile_module(engine, CODE[:-3])
