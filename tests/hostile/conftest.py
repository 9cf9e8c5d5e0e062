import sys
import threading
from pathlib import Path

import pytest
import wasmtime
from hostile_bench import Bench

from flowrt.wasm.component.hands import GIVEN_UP

sys.path.append(str(Path(__file__).parents[1] / "component"))  # its small components


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    threads = len(_threads())
    yield made
    made.close()
    assert len(_threads()) <= threads + 1, "a thread is left"


def _threads():
    """All but those of calls that sleep for years: nobody can end them."""
    return [thread for thread in threading.enumerate() if thread.name != GIVEN_UP]


@pytest.fixture
def module(tmp_path):
    """Writes a module from its text where graphs of this test find it."""

    def write(text, name="hostile"):
        (tmp_path / f"{name}.wasm").write_bytes(wasmtime.wat2wasm(text))

    return write
