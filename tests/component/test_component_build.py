"""Components from source: what is committed is what the sources give."""

import re
from pathlib import Path

import pytest
from component_guests import batch, core

from flowrt.errors import GuestTrap, StartError
from flowrt.guests.build import build
from flowrt.guests.component import componentize
from flowrt.wasm.inspect import inspect_bytes
from flowrt.wasm.text import to_binary

AIO = Path(__file__).parents[2] / "modules" / "aio"


def test_the_committed_components_are_what_the_sources_give(tmp_path):
    try:
        built = list(build(AIO, tmp_path))
    except StartError as missing:
        pytest.skip(str(missing))
    assert [each.error for each in built] == [None] * len(built)
    for each in built:
        assert each.path.read_bytes() == (AIO / each.name / f"{each.name}.wasm").read_bytes(), each.name
        assert each.size < 40_000


def test_a_component_exports_what_its_core_module_does():
    facts = inspect_bytes(componentize(core({"map": "(unreachable)", "branch": "(unreachable)"})))
    assert facts.form == "component"
    assert sorted(facts.exports) == ["wasm-graph:processor/branch@1.1.0", "wasm-graph:processor/map@1.1.0"]
    assert "wasm-graph:processor/state-store@1.1.0" not in [name for name, _, _ in facts.imports]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("(module)", "it exports none of map-process"),
        ('(module (import "host" "reboot" (func)) (func (export "map-process")))', "it imports reboot from host"),
    ],
)
def test_a_module_of_another_kind_is_refused(text, words):
    with pytest.raises(StartError, match=words):
        componentize(to_binary(text))


def test_bytes_of_no_module_are_refused():
    with pytest.raises(StartError, match="not a WebAssembly binary"):
        componentize(b"1234")


PAGE = (AIO.parents[1] / "docs" / "operators.md").read_text()


def test_the_operator_of_the_documentation_builds_and_runs(tmp_path, guest):
    def block(language):
        return re.search(rf"Write one in C.*?```{language}\n(.*?)```", PAGE, re.DOTALL).group(1)

    (tmp_path / "warm").mkdir()
    (tmp_path / "warm" / "module.toml").write_text(block("toml"))
    (tmp_path / "warm" / "warm.c").write_text(block("c"))
    try:
        (built,) = build(tmp_path)
    except StartError as missing:
        pytest.skip(str(missing))
    assert built.error is None
    instance = guest(built.path.read_bytes(), "filter", [("above", "21")])
    verdicts, errors = instance.decide("filter", batch(b'{"celsius": 20.5}', b'{"celsius": 21.5}', b"{}"))
    assert (verdicts, errors) == (b"\0\1\0", {2: "no number at celsius"})
    with pytest.raises(GuestTrap, match="init"):
        guest(built.path.read_bytes(), "filter", [("above", "high")])
