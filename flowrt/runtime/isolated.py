"""The program of a child process (`python -m flowrt.runtime.isolated`): confined first, everything else afterwards."""

from __future__ import annotations

import sys
import threading

from flowrt.isolation.confine import confine

_STACK_BYTES = 1 << 20
"""Of threads: their stacks count against the node's memory."""


def main(arguments: list[str]) -> None:
    confine()
    threading.stack_size(_STACK_BYTES)
    memory, asked, answered, lifeline, size = map(int, arguments)
    from flowrt.isolation.channel import Channel
    from flowrt.isolation.child import serve
    from flowrt.runtime.build import alone

    serve(Channel(memory, asked, answered, size), lifeline, alone)


if __name__ == "__main__":
    main(sys.argv[1:])
