"""Commands: guests that run once from start to end, with what a process has: arguments, environment, folders, streams.

A core module starts at `_start` and sees WASI preview 1; a component at `wasi:cli/run` and sees WASI 0.2. Both are the
engine's own, whatever a guest does with its standard streams goes to those of this process.
"""

from __future__ import annotations

from collections.abc import Sequence

import wasmtime
from wasmtime import component as native

from flowrt.errors import StartError
from flowrt.graph.facts import ModuleFacts
from flowrt.graph.worlds import uses_nn
from flowrt.values import Struct
from flowrt.wasm.cache import CodeCache, compile_component, compile_module
from flowrt.wasm.component import values
from flowrt.wasm.component.factory import Interfaces, import_objections
from flowrt.wasm.component.store import ComponentStore, Offer
from flowrt.wasm.crossing import Crossing, Exited, Limits
from flowrt.wasm.engine import PLAIN, Engine, Variant
from flowrt.wasm.imports import HostFunction

_RUN = "wasi:cli/run@"
_FAILED = 1
"""The status of a component whose `run` gives an error."""


class Setting(Struct, frozen=True):
    """What a command is granted."""

    arguments: Sequence[str]
    """The first is its own name."""
    environment: Sequence[tuple[str, str]] = ()
    folders: Sequence[tuple[str, str]] = ()
    """Of the host, and as the guest sees it."""


class Command:
    """One command, compiled. Raises StartError when it is none, or does not compile."""

    def __init__(
        self,
        engine: Engine,
        facts: ModuleFacts,
        code: bytes,
        *,
        variant: Variant = PLAIN,
        cache: CodeCache | None = None,
    ) -> None:
        self._engine = engine
        self.facts = facts
        self._entry = _entry(facts)
        try:
            self._module = (
                compile_component(engine, code, cache, variant)
                if facts.form == "component"
                else compile_module(engine, code, cache, variant)
            )
        except ValueError as error:
            raise StartError(f"{facts.path} does not compile: {error}") from error

    @property
    def uses_nn(self) -> bool:
        """Whether it imports wasi-nn, by whichever door."""
        return uses_nn(self.facts)

    def run(
        self,
        setting: Setting,
        limits: Limits,
        functions: Sequence[HostFunction] = (),
        offer: Offer | None = None,
        known: Interfaces | None = None,
    ) -> int:
        """The guest's exit status. `functions` are what a core module may import beside WASI, `offer` what a component
        may, with the signatures of `known`. Raises `GuestTrap`, and StartError for a grant that cannot be had."""
        wasi = _wasi(setting)
        try:
            if isinstance(self._module, wasmtime.Module):
                self._check_imports(functions)
                return self._run_core(self._module, wasi, limits, functions)
            return self._run_component(self._module, wasi, limits, offer or Offer(), known or {})
        except Exited as exited:
            return exited.status

    def _check_imports(self, functions: Sequence[HostFunction]) -> None:
        known = {(function.module, function.name) for function in functions}
        for module, name, _ in self.facts.imports:
            if not module.startswith("wasi_snapshot_preview1") and (module, name) not in known:
                raise StartError(f"{self.facts.path} imports {module}.{name}, which no host offers here")

    def _run_core(
        self, module: wasmtime.Module, wasi: wasmtime.WasiConfig, limits: Limits, functions: Sequence[HostFunction]
    ) -> int:
        crossing = Crossing(self._engine, module, functions, limits, wasi)
        try:
            crossing.run(self._entry)
        finally:
            crossing.close()
        return 0

    def _run_component(
        self, component: native.Component, wasi: wasmtime.WasiConfig, limits: Limits, offer: Offer, known: Interfaces
    ) -> int:
        own = self._engine.native(limits.variant)
        for wrong in import_objections(component, own, known):
            raise StartError(f"{self.facts.path} {wrong}")
        store = ComponentStore(self._engine, component, offer.calls, limits, resources=offer.resources, wasi=wasi)
        try:
            return 0 if values.as_bool(store.function(self._entry, "run", 0, 0)()) else _FAILED
        finally:
            store.close()


def _entry(facts: ModuleFacts) -> str:
    """What is called."""
    if facts.form == "component":
        found = next((name for name in facts.exports if name.startswith(_RUN)), None)
        if found is None:
            raise StartError(
                f"{facts.path} is no command: it does not export {_RUN}0.2.0; an operator runs in a graph (flowrt run)"
            )
        return found
    if "_start" not in facts.exports:
        raise StartError(
            f"{facts.path} is no command: it does not export _start; build it as a program, or run it in a graph"
        )
    return "_start"


def _wasi(setting: Setting) -> wasmtime.WasiConfig:
    config = wasmtime.WasiConfig()
    config.argv = list(setting.arguments)
    config.env = list(setting.environment)
    config.inherit_stdin()
    config.inherit_stdout()
    config.inherit_stderr()
    for host, guest in setting.folders:
        try:
            config.preopen_dir(host, guest)
        except wasmtime.WasmtimeError as error:
            raise StartError(f"--dir {host}: it is no folder that can be opened") from error
    return config
