"""Graph files read in a process of their own: `python -m flowrt.updates.reading`, with a request on its standard input.

Reading is half a second of Python on a small gateway, in which the threads that messages pass through would wait for
the interpreter, and megabytes of libraries that a start with a known file does without.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress

from flowrt.graph.graph import Reading
from flowrt.graph.load import read_anew
from flowrt.runtime.known_graphs import dumped, loaded, readers
from flowrt.updates.memory import load_readers
from flowrt.updates.turns import SHORT_TURNS

NICE = 10
"""A tenth of what each message's thread gets, where there is no core free."""
SECONDS_MAX = 10.0
"""For a machine that has nothing left for it, or too little memory: then the file is read here."""
COMMAND = (sys.executable, "-m", "flowrt.updates.reading")


def read_apart(
    data: bytes,
    path: str,
    sets: Mapping[str, str],
    environ: Mapping[str, str],
    command: Sequence[str] = COMMAND,
    seconds: float = SECONDS_MAX,
) -> Reading:
    """As `graph.load.read_anew`. What comes back is read as values and nothing else; a program that was replaced while
    it runs is no help to the one that began."""
    head = json.dumps([readers(), path, dict(sets)]).encode()
    reading = loaded(_answer(command, head + b"\n" + data, environ, seconds))
    if reading is None:
        with SHORT_TURNS:
            load_readers()
            reading = read_anew(data, path, sets, environ)
    return reading


def _answer(command: Sequence[str], request: bytes, environ: Mapping[str, str], seconds: float) -> bytes:
    """What the process writes; nothing when it comes to no good."""
    try:
        with subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={**environ, "PYTHONSAFEPATH": "1"},  # what lies in the working directory is no library
        ) as process:
            with suppress(OSError):
                os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
            try:
                answer, _ = process.communicate(request, seconds)
            except subprocess.TimeoutExpired:
                answer = b""
            finally:
                process.kill()
    except OSError:
        return b""
    return answer if process.returncode == 0 else b""


def main() -> int:
    """The process's exit status: 1 for a request by other code."""
    head, _, data = sys.stdin.buffer.read().partition(b"\n")
    asking, path, sets = json.loads(head)
    if asking != readers():
        return 1
    sys.stdout.buffer.write(dumped(read_anew(data, path, sets, os.environ)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
