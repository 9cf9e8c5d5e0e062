"""Operators in Python, made into components by componentize-py.

The tool bundles CPython: 18 MB, other bytes at every build. It is called for a world with the operators that the module
has, `wit_world`. AIO's documentation gives each operator a world of its own: its modules are there under those names
(`map_impl`, `filter_impl`, …) as well, and are the same ones.
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
import importlib
import pkgutil
import sys

import componentize_py_types
import wit_world

for found in pkgutil.walk_packages(wit_world.__path__, "wit_world."):
    importlib.import_module(found.name)
sys.modules["wit_world.types"] = componentize_py_types  # where AIO's documentation imports `Err` from
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] == "wit_world":
        for kind in {kinds}:
            sys.modules[kind + "_impl" + name[len("wit_world"):]] = module

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
    wit = scratch / "wit"
    shutil.copytree(sdk / "wit", wit)
    exports = "".join(f"export {'%' * (kind == 'map')}{kind}; " for kind in operators)
    text = (
        f"\npackage wasm-graph:processor@1.1.0;\n"
        f"world {_WORLD} {{ import state-store; import logger; import metrics; {exports}}}\n"
    )
    (wit / "operator.wit").write_text(text)
    (scratch / f"{_ENTRY}.py").write_text(_WRAPPER.format(kinds=list(operators), main=Path(source.main).stem))
    return [
        [
            sys.executable, "-c", _PROGRAM, "-q", "-d", str(wit), "-w", _WORLD, "--world-module", "wit_world",
            "componentize", "-p", str(scratch), "-p", ".", _ENTRY, "-o", str(out),
        ]
    ]  # fmt: skip
