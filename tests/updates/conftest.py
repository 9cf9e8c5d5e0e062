"""A bench whose graph runs while it is changed."""

import sys
from pathlib import Path

import pytest

for folder in ("wasm", "logicaltime"):  # their small guests
    sys.path.append(str(Path(__file__).parents[1] / folder))


@pytest.fixture
def bench(tmp_path):
    from update_bench import Bench

    made = Bench(tmp_path)
    yield made
    made.close()
