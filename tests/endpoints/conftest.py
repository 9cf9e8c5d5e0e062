from collections.abc import Iterator

import pytest
from brokers import Broker


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """One for the tests that leave nothing behind."""
    with Broker() as running:
        yield running


@pytest.fixture(params=["5", "3.1.1"])
def version(request: pytest.FixtureRequest) -> str:
    return str(request.param)
