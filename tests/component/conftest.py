from __future__ import annotations

import pytest
from component_guests import Maker

from flowrt.wasm.engine import Engine


@pytest.fixture(scope="session")
def engine():
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def guest(engine):
    """`guest(code, kind, **resources)` makes an instance; it is closed after the test."""
    maker = Maker(engine)
    yield maker
    maker.close()
