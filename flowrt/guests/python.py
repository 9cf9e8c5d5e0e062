"""Operators in Python, made into components by componentize-py.

The tool bundles CPython: 18 MB, other bytes at every build. It is called for a world with the operators that the module
has. A module with one operator finds it under AIO's name, as `map_impl`, one with several under `wit_world`.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from importlib.metadata import version
from pathlib import Path

from flowrt.errors import StartError
from flowrt.guests.recipe import Source

_PROGRAM = "import sys; from componentize_py import script; sys.exit(script())"
_WORLD = "flowrt-operator"
_ENTRY = "flowrt_entry"
_WRAPPER = """\
import sys

import componentize_py_types
import {world}

sys.modules["{world}.types"] = componentize_py_types  # where AIO's documentation imports `Err` from

from {main} import *
"""


def compiler() -> str:
    """Raises `StartError` with the command to run when the tool is missing."""
    if importlib.util.find_spec("componentize_py") is None:
        raise StartError("Python modules are built with componentize-py: pip install componentize-py")
    return f"componentize-py {version('componentize-py')}"


def commands(source: Source, sdk: Path, scratch: Path, out: Path) -> list[list[str]]:
    """What to run to make `out`, in the module's folder."""
    operators = dict.fromkeys(source.recipe.operators)
    world = f"{next(iter(operators))}_impl" if len(operators) == 1 else "wit_world"
    wit = scratch / "wit"
    shutil.copytree(sdk / "wit", wit)
    exports = "".join(f"export {'%' * (kind == 'map')}{kind}; " for kind in operators)
    text = (
        f"\npackage wasm-graph:processor@1.1.0;\n"
        f"world {_WORLD} {{ import state-store; import logger; import metrics; {exports}}}\n"
    )
    (wit / "operator.wit").write_text(text)
    (scratch / f"{_ENTRY}.py").write_text(_WRAPPER.format(world=world, main=Path(source.main).stem))
    return [
        [
            sys.executable, "-c", _PROGRAM, "-q", "-d", str(wit), "-w", _WORLD, "--world-module", world,
            "componentize", "-p", str(scratch), "-p", ".", _ENTRY, "-o", str(out),
        ]
    ]  # fmt: skip
