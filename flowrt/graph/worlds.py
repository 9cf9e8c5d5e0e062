"""Operator components by what their binaries name: AIO's interfaces, and what this version makes of them."""

from __future__ import annotations

from flowrt.graph.facts import ModuleFacts

PACKAGE, VERSION = "wasm-graph:processor", "1.1.0"
PREVIEW = "tinykube-graph:processor"
KINDS = ("map", "filter", "branch", "accumulate", "delay")
"""Operation types that components run as."""
WASI = ("wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/")
"""Importing these is legal whatever is granted: the engine implements them, and an ungranted call fails."""


def interface(name: str) -> str:
    """The full name of an interface, as it stands in a component."""
    return f"{PACKAGE}/{name}@{VERSION}"


OFFERED = frozenset(
    map(interface, ("types", "hybrid-logical-clock", "logger", "metrics", "state-store", "state-store-types"))
)
"""Interfaces of AIO's host that this one offers."""

NN_MODULE = "wasi_ephemeral_nn"
"""wasi-nn as core modules import it."""
NN_NEWER, NN_OLDER = "0.2.0-rc-2024-10-28", "0.2.0-rc-2024-08-19"
"""Revisions of wasi-nn that published guests import."""
NN_INTERFACES = ("tensor", "graph", "inference", "errors")


def nn_interface(name: str, revision: str) -> str:
    """The full name of an interface of wasi-nn."""
    return f"wasi:nn/{name}@{revision}"


NN = frozenset(nn_interface(name, revision) for name in NN_INTERFACES for revision in (NN_NEWER, NN_OLDER))


def kinds_of(module: ModuleFacts) -> list[str]:
    """The operation types a component can be used as."""
    return [kind for kind in KINDS if interface(kind) in module.exports]


def missing(module: ModuleFacts, kind: str) -> str | None:
    """Why a component cannot run as an operation of that type, or None when it exports what is needed."""
    if interface(kind) in module.exports:
        return None
    if any(name.startswith(f"{PREVIEW}/") for name in module.exports):
        return f"is an operator component of AIO's preview ({PREVIEW}); rebuild it for {PACKAGE}@{VERSION}"
    if kinds := kinds_of(module):
        return f"does not export {interface(kind)}, which a {kind} calls; it can be used as {' or '.join(kinds)}"
    others = sorted(name for name in module.exports if name.startswith(f"{PACKAGE}/"))
    if others:
        return f"exports {', '.join(others)}; this version runs {PACKAGE}@{VERSION}"
    return f"is a component that does not export {interface(kind)}, which a {kind} calls"


def not_offered(module: ModuleFacts) -> list[str]:
    """The interfaces a component imports that nobody here offers."""
    return [name for name, _, _ in module.imports if name not in OFFERED | NN and not name.startswith(WASI)]


def is_component(module: ModuleFacts | None) -> bool:
    return module is not None and module.form == "component"


def uses_nn(module: ModuleFacts) -> bool:
    """Whether a module imports wasi-nn, by whichever door."""
    return any(source == NN_MODULE or source.startswith("wasi:nn/") for source, _, _ in module.imports)


def uses_state(module: ModuleFacts | None) -> bool:
    """Whether a component imports the state store."""
    return module is not None and any(name == interface("state-store") for name, _, _ in module.imports)
