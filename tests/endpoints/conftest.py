from collections.abc import Iterator

import pytest
from brokers import Broker
from peers import Version


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    """One for the tests that leave nothing behind."""
    with Broker() as running:
        yield running


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes a `version` runs with both, over our path and over plain paho's; one marked `ours` says why it
    is about ours alone."""
    if "version" not in metafunc.fixturenames:
        return
    ours = metafunc.definition.get_closest_marker("ours") is not None
    versions = [
        Version(number, plain=plain) for plain in (False, True)[: 1 if ours else 2] for number in ("5", "3.1.1")
    ]
    metafunc.parametrize("version", versions, ids=[f"{one}{' plain' if one.plain else ''}" for one in versions])
