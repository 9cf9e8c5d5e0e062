"""docs/guests.md is true: its sources build, and its graph prints what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from guest_bench import MODULES, Bench, make_batch

from flowrt.errors import StartError
from flowrt.guests.build import build

PAGE = (MODULES.parent / "docs" / "guests.md").read_text()


def block(language: str) -> str:
    return re.search(rf"```{language}\n(.*?)```", PAGE, re.DOTALL).group(1)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The folder that the page makes."""
    folder = tmp_path / "mine"
    for name, language, suffix in [("fahrenheit", "c", "c"), ("fahrenheit-rust", "rust", "rs")]:
        (folder / name).mkdir(parents=True)
        (folder / name / "module.toml").write_text(f'language = "{language}"\n')
        (folder / name / f"{name}.{suffix}").write_text(block(language))
    (folder / "fahrenheit.yaml").write_text(block("yaml"))
    (folder / "readings.jsonl").write_text('{"celsius": 21.5}\n{"celsius": -40}\n')
    try:
        assert [built.error for built in build(folder)] == [None, None]
    except StartError as missing:
        pytest.skip(str(missing))
    return folder


def test_both_modules_do_the_same(mine: Path, bench: Bench):
    for name in ("fahrenheit", "fahrenheit-rust"):
        output = bench.guest(mine / name / f"{name}.wasm").map(
            make_batch([b'{"celsius": 21.5}', b"{}", b'{"celsius":-40}'])
        )

        assert output.payloads == [b'{"fahrenheit":70.7}', b'{"fahrenheit":-40}']
        assert output.errors == {1: "no number at celsius"}


def test_the_graph_prints_what_the_page_says(mine: Path):
    command = [sys.executable, "-m", "flowrt.cli.main", "run", "mine/fahrenheit.yaml", "--modules", "mine"]

    done = subprocess.run(command, cwd=mine.parent, capture_output=True, text=True, timeout=60)

    assert (done.returncode, done.stdout) == (0, '{"fahrenheit":70.7}\n{"fahrenheit":-40}\n'), done.stderr


def test_the_c_header_shows_the_module_of_the_page():
    header = (MODULES / "sdk" / "c" / "flowrt.h").read_text()
    shown = re.sub(r"^ \* ? ? ? ? ?", "", header, flags=re.MULTILINE)

    assert block("c").strip() in shown


def test_every_module_is_in_the_pages_table():
    named = {name for line in PAGE.splitlines() if line.startswith("| `") for name in re.findall(r"`([\w-]+)`", line)}

    assert {file.parent.name for file in MODULES.glob("*/module.toml")} <= named
