"""Guests of `modules/` for their tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from guest_bench import Bench

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
