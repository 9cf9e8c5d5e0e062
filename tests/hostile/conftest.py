import sys
import threading
from pathlib import Path

import pytest
import wasmtime
from hostile_bench import Bench

sys.path.append(str(Path(__file__).parents[1] / "component"))  # its small components


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    threads = threading.active_count()
    yield made
    made.close()
    assert threading.active_count() <= threads + 1, "a thread is left"


@pytest.fixture
def module(tmp_path):
    """Writes a module from its text where graphs of this test find it."""

    def write(text, name="hostile"):
        (tmp_path / f"{name}.wasm").write_bytes(wasmtime.wat2wasm(text))

    return write
