"""The program of a child process (`python -m flowrt.runtime.isolated`): confined first, everything else afterwards."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

from flowrt.isolation.confine import confine

_STACK_BYTES = 1 << 20
"""Of threads: their stacks count against the node's memory."""


def main(arguments: list[str]) -> None:
    parent, memory, asked, answered, size = map(int, arguments[:5])
    unconfined = confine(parent, [Path(folder) for folder in arguments[5:]])
    threading.stack_size(_STACK_BYTES)
    from flowrt.isolation.channel import Channel
    from flowrt.isolation.child import serve
    from flowrt.runtime.build import alone

    serve(Channel(memory, asked, answered, size), alone, unconfined)


if __name__ == "__main__":
    main(sys.argv[1:])
