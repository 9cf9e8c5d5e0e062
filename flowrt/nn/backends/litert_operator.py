"""Which operator of a TensorFlow Lite model failed, where the engine names its delegate alone.

XNNPACK takes most operators of a model together, and when one of them fails says so in its own name. Without it they
run one by one and are named. That is other code, which may end the process on a model that XNNPACK merely refuses: it
runs in a child (`python -m flowrt.nn.backends.litert_operator`), once for inputs of the same shapes.
"""

from __future__ import annotations

import contextlib
import io
import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from flowrt.nn.backend import Array

_SECONDS = 10
"""Of processor time, and as much again of waiting: a guest's call waits for the answer."""


def failing_operator(data: bytes, signature: str, inputs: Mapping[str, Array]) -> str | None:
    """What the engine says of these inputs, in the model's order, when it runs each operator by itself; None where that
    does not tell."""
    packed = io.BytesIO()
    try:
        said: dict[str, Any] = {
            "model": np.frombuffer(data, np.uint8),
            "signature": np.array(signature),
            "names": np.array([*inputs]),
        }
        np.savez(packed, *inputs.values(), **said)
        command = [sys.executable, "-m", "flowrt.nn.backends.litert_operator"]
        done = subprocess.run(  # noqa: S603 - our own interpreter and module
            command, input=packed.getvalue(), capture_output=True, check=False, timeout=2 * _SECONDS
        )
        found: str | None = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, ValueError, MemoryError, subprocess.TimeoutExpired):  # a confined process may start no other
        return None
    return found


def main() -> int:
    """The child: what was said, as JSON on standard output."""
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from flowrt.nn.backends.litert import without_delegates, words

    given = np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False)
    inputs = {str(name): given[f"arr_{index}"] for index, name in enumerate(given["names"])}
    said = None
    try:
        without_delegates(given["model"].tobytes(), str(given["signature"]), inputs)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
        said = words(error)
    with contextlib.suppress(OSError):
        sys.stdout.write(json.dumps(said))
    return 0


if __name__ == "__main__":
    sys.exit(main())
