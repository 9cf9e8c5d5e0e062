"""`flowrt modules build`: the committed bytes, from any folder, and clear words when something is missing."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from guest_bench import MODULES

from flowrt.errors import StartError
from flowrt.guests import toolchain
from flowrt.guests.build import build, find_sdk
from flowrt.guests.recipe import find_sources

NAMES = sorted(file.parent.name for file in MODULES.glob("*/module.toml"))


def need(*languages: str) -> None:
    for source in find_sources(MODULES):
        if source.recipe.language in languages:
            try:
                toolchain.check_compiler(source)
            except StartError as missing:
                pytest.skip(str(missing))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources of `modules/` under another path, without what was built."""
    place = tmp_path / "some where" / "else"
    shutil.copytree(MODULES, place, ignore=shutil.ignore_patterns("*.wasm"))
    return place


def write(folder: Path, name: str, recipe: str, source: str, suffix: str = "c") -> Path:
    module = folder / name
    module.mkdir(parents=True)
    (module / "module.toml").write_text(recipe)
    (module / f"{name}.{suffix}").write_text(source)
    return module / f"{name}.wasm"


def test_every_committed_module_is_what_its_source_makes_in_any_folder(
    copy: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    need("c", "rust")
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))

    built = list(build(copy))

    assert [(each.name, each.error) for each in built] == [(name, None) for name in NAMES]
    for name in NAMES:
        assert (copy / name / f"{name}.wasm").read_bytes() == (MODULES / name / f"{name}.wasm").read_bytes(), name
    assert not (tmp_path / "nobody").exists()
    assert [each.changed for each in build(copy)] == [False] * len(NAMES)


def test_modules_are_small_and_name_no_folder():
    for name in NAMES:
        content = (MODULES / name / f"{name}.wasm").read_bytes()
        embedded = sum(file.stat().st_size for file in (MODULES / name).glob("*.onnx"))
        assert len(content) - embedded < 20_000, name
        assert b"/work" not in content, name
        assert b"/home" not in content, name
        assert str(MODULES).encode() not in content, name


def test_another_folder_takes_the_outputs_and_the_sources_folder_stays_as_it_was(copy: Path, tmp_path: Path):
    need("c")
    before = sorted(copy.rglob("*"))

    (built,) = build(copy / "passthrough", tmp_path / "out")

    assert built.path == tmp_path / "out" / "passthrough" / "passthrough.wasm"
    assert str(built) == f"passthrough: {built.size} bytes, new"
    assert list((tmp_path / "out").rglob("*")) == [built.path.parent, built.path]
    assert sorted(copy.rglob("*")) == before


def test_a_source_with_a_mistake_leaves_the_built_module_as_it_was(tmp_path: Path):
    need("c")
    target = write(tmp_path, "broken", 'language = "c"', '#include "flowrt.h"\nint wrong(void) { return }\n')
    target.write_bytes(b"the old one")

    (built,) = build(tmp_path)

    assert "broken.c:2:" in str(built)
    assert target.read_bytes() == b"the old one"
    assert sorted(path.name for path in target.parent.iterdir()) == ["broken.c", "broken.wasm", "module.toml"]


def test_a_mistake_in_one_module_does_not_keep_the_others_from_being_built(tmp_path: Path):
    need("c")
    write(tmp_path, "a", 'language = "c"', "mistake")
    write(tmp_path, "b", 'language = "c"\nsimd = true', '#include "flowrt.h"\n')

    assert [each.error is None for each in build(tmp_path)] == [False, True]


@pytest.mark.parametrize(
    ("recipe", "words"),
    [
        ("", "language: Field required"),
        ('language = "go"', "language: Input should be 'c', 'rust' or 'python'"),
        ('language = "c"\nflag = 1', "flag: Extra inputs are not permitted"),
        ("language = ", "Invalid value"),
    ],
)
def test_a_recipe_that_cannot_be_read_is_named(tmp_path: Path, recipe: str, words: str):
    write(tmp_path, "m", recipe, "")

    with pytest.raises(StartError, match=words) as error:
        list(build(tmp_path))

    assert str(tmp_path / "m" / "module.toml") in str(error.value)


def test_a_folder_without_modules_is_said_to_be_one(tmp_path: Path):
    with pytest.raises(StartError, match=r"has no module: a module is a folder with a module\.toml"):
        list(build(tmp_path))


def test_a_missing_rustc_is_named_with_the_command_that_installs_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write(tmp_path, "m", 'language = "rust"', "", "rs")
    monkeypatch.setattr(toolchain, "RUSTC", tmp_path / "none")

    with pytest.raises(StartError, match="apt-get install rustc libstd-rust-dev-wasm32 lld-14"):
        list(build(tmp_path))


def test_another_compiler_than_the_one_named_is_refused(tmp_path: Path):
    need("c")
    write(tmp_path, "m", 'language = "c"\ncompiler = "ziglang 0.1.0"', "")

    with pytest.raises(StartError, match=r"built with ziglang 0\.1\.0, and here is .*: pip install ziglang==0\.1\.0"):
        list(build(tmp_path))


def test_the_compiler_is_pinned_where_the_project_installs_it():
    project = tomllib.loads((MODULES.parent / "pyproject.toml").read_text())
    pins = {source.recipe.compiler for source in find_sources(MODULES)}

    assert pins == {"ziglang 0.17.0", "rustc 1.63.0"}
    assert "ziglang==0.17.0" in project["project"]["optional-dependencies"]["dev"]


def test_the_sdk_is_found_above_a_folder_or_beside_the_package(copy: Path, tmp_path: Path):
    assert find_sdk(copy / "scale") == copy / "sdk"
    assert find_sdk(tmp_path) == MODULES / "sdk"
