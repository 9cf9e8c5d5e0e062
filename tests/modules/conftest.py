"""Guests of `modules/` for their tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from guest_bench import Bench

from flowrt.errors import StartError
from flowrt.guests.build import build
from flowrt.wasm.engine import Engine


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def bench(engine: Engine) -> Iterator[Bench]:
    bench = Bench(engine)
    yield bench
    bench.close()


@pytest.fixture(scope="session")
def probes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The guests of `probes/`, which ask the SDKs, built for this run."""
    out = tmp_path_factory.mktemp("probes")
    try:
        built = list(build(Path(__file__).parent / "probes", out))
    except StartError as missing:
        pytest.skip(str(missing))
    assert [each.error for each in built] == [None] * len(built)
    return {each.name: each.path for each in built}
