"""`docs/problems.md`."""

from __future__ import annotations

from flowrt.graph.codes import CODES
from flowrt.reference.markdown import code, table

_INTRODUCTION = """\
# Problems

`flowrt check` prints every problem of a file as `file:line:col: code: message`. The message names the operation, what
was found and what to do; this page says the same in general, by code. Problems marked `warning:` do not change the
exit status, the others make it 1.

"""


def problems() -> str:
    return _INTRODUCTION + table(("Code", "Meaning and remedy"), ((code(name), text) for name, text in CODES.items()))
