"""`flowrt doctor`: what this machine offers, what is missing and how to get it. Always ends with 0."""

from __future__ import annotations

import argparse
import os
import platform
import shutil
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from flowrt import __version__
from flowrt.cli.loading import this_machine
from flowrt.errors import FlowrtError
from flowrt.formats.extras import LIBRARIES, installed
from flowrt.quota.quantity import format_bytes

EXTRAS = {"amqtt": ("demo", "embedded broker"), "onnx": ("demo", "training the example's model")}
"""Optional packages: the extra that brings them, and what for."""
PROGRAMS = {
    "mosquitto": ("a broker", "apt-get install mosquitto"),
    "mosquitto_sub": ("looking at topics by hand", "apt-get install mosquitto-clients"),
}
"""Programs beside us: what for, and how to get them."""

Line = tuple[str, str]


def add_arguments(_: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(_: argparse.Namespace) -> int:
    for what, found in (*_machine(), *_engine(), *_models(), *_service(), *_optional()):
        print(f"{what:<24}{found}")
    return 0


def _machine() -> Iterator[Line]:
    here = this_machine()
    yield "flowrt", __version__
    yield "python", f"{platform.python_version()} on {platform.machine()}, {platform.platform(terse=True)}"
    yield "cores, memory", f"{here.cores:g}, {format_bytes(here.memory_bytes)}"


def _engine() -> Iterator[Line]:
    from flowrt.wasm.engine import Engine

    yield "WebAssembly engine", f"wasmtime {version('wasmtime')}"
    for interpreter in (False, True):
        name = "interpreter (Pulley)" if interpreter else "compiler (Cranelift)"
        try:
            engine = Engine(interpreter=interpreter)
            yield f"  {name}", f"works; {_features(engine.settings())}"
            engine.close()
        except FlowrtError as error:
            yield f"  {name}", f"does not work: {error}"


def _features(settings: str) -> str:
    """Of an engine's settings, what a guest's author wants to know."""
    from flowrt.wasm.engine import MEMORY_RESERVATION

    have = [name for name in ("simd", "threads", "tail_call", "component_model") if f"wasm_{name}" in settings]
    lack = [name for name in ("threads",) if name not in have]
    absent = f"; not {', '.join(lack)}" if lack else ""
    memory = format_bytes(MEMORY_RESERVATION)
    return f"{', '.join(have)}{absent}; a guest's memory is bound by its quota, {memory} at most"


def _models() -> Iterator[Line]:
    """Every engine with its version and what cpu, gpu, tpu and npu are to it; of those that lack, how to get them."""
    from flowrt.nn import encodings
    from flowrt.nn.faults import ModelFault

    for encoding, engine in encodings.ENGINES.items():
        if not engine.present():
            yield f"{encoding} models", f"missing: {engine.remedy}"
            continue
        try:
            backend = encodings.backend_for(encoding)
            targets = ", ".join(f"{target}: {device}" for target, device in backend.targets().items())
            yield f"{encoding} models", f"{backend.engine}; {targets}"
        except ModelFault as fault:
            yield f"{encoding} models", fault.detail


def _service() -> Iterator[Line]:
    under = "yes" if os.environ.get("INVOCATION_ID") else "no, this command runs by hand"
    yield "service manager", f"{'systemd' if Path('/run/systemd/system').exists() else 'none'}; under it: {under}"
    from flowrt.isolation.confine import confinement

    controllers = Path("/sys/fs/cgroup/cgroup.controllers")
    yield "isolation: process", confinement()
    yield "cgroup v2", controllers.read_text().strip() or "no controllers" if controllers.exists() else "not mounted"


def _optional() -> Iterator[Line]:
    for package, (extra, purpose) in EXTRAS.items():
        if find_spec(package):
            yield package, f"{_version(package)}: {purpose}"
        else:
            yield package, f"missing ({purpose}): pip install 'flowrt[{extra}]'"
    for package, (purpose, extra) in LIBRARIES.items():
        remedy = f"missing ({purpose}): pip install 'flowrt[{extra}]'"
        yield package, f"{_version(package)}: {purpose}" if installed(package) else remedy
    for program, (purpose, remedy) in PROGRAMS.items():
        yield program, shutil.which(program) or f"missing ({purpose}): {remedy}"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "installed"
