from __future__ import annotations

import pytest
from graphtest_bench import Tests


@pytest.fixture
def tests(tmp_path):
    return Tests(tmp_path)
