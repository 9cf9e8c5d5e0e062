"""Operator components by what their binaries name: AIO's interfaces, and what this version makes of them."""

from __future__ import annotations

from flowrt.graph.facts import ModuleFacts

PACKAGE, VERSION = "wasm-graph:processor", "1.1.0"
PREVIEW, PREVIEW_VERSION = "tinykube-graph:processor", "1.0.0"
"""The package of AIO's preview: the same interfaces, whose `process` gives bare values, without an error."""
KINDS = ("map", "filter", "branch", "accumulate", "delay")
"""Operation types that components run as."""
WASI = ("wasi:cli/", "wasi:clocks/", "wasi:filesystem/", "wasi:io/", "wasi:random/", "wasi:sockets/")
"""Importing these is legal whatever is granted: the engine implements them, and an ungranted call fails."""


def interface(name: str, *, preview: bool = False) -> str:
    """The full name of an interface, as it stands in a component."""
    return f"{PREVIEW}/{name}@{PREVIEW_VERSION}" if preview else f"{PACKAGE}/{name}@{VERSION}"


def in_preview(name: str) -> str:
    """The preview's name of an interface with that full name; of others their own."""
    inner = name.removeprefix(f"{PACKAGE}/").removesuffix(f"@{VERSION}")
    return interface(inner, preview=True) if name == interface(inner) else name


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


def direct_interface(name: str) -> str:
    """What an interface is called in a component that was changed so that its lists cross in place."""
    return "flowrt:" + name.partition(":")[2]


NN = frozenset(nn_interface(name, revision) for name in NN_INTERFACES for revision in (NN_NEWER, NN_OLDER))


def is_preview(module: ModuleFacts) -> bool:
    """Whether a component is one of the preview's, by what it exports."""
    packages = {name.partition("/")[0] for name in module.exports}
    return PREVIEW in packages and PACKAGE not in packages


def kinds_of(module: ModuleFacts) -> list[str]:
    """The operation types a component can be used as."""
    preview = is_preview(module)
    return [kind for kind in KINDS if interface(kind, preview=preview) in module.exports]


def missing(module: ModuleFacts, kind: str) -> str | None:
    """Why a component cannot run as an operation of that type, or None when it exports what is needed."""
    wanted = interface(kind, preview=is_preview(module))
    if wanted in module.exports:
        return None
    if kinds := kinds_of(module):
        return f"does not export {wanted}, which a {kind} calls; it can be used as {' or '.join(kinds)}"
    others = sorted(name for name in module.exports if name.startswith((f"{PACKAGE}/", f"{PREVIEW}/")))
    if others:
        return f"exports {', '.join(others)}; this version runs {PACKAGE}@{VERSION} and {PREVIEW}@{PREVIEW_VERSION}"
    return f"is a component that does not export {wanted}, which a {kind} calls"


def not_offered(module: ModuleFacts) -> list[str]:
    """The interfaces a component imports that nobody here offers."""
    offered = NN | (frozenset(map(in_preview, OFFERED)) if is_preview(module) else OFFERED)
    return [name for name, _, _ in module.imports if name not in offered and not name.startswith(WASI)]


def is_component(module: ModuleFacts | None) -> bool:
    return module is not None and module.form == "component"


def uses_nn(module: ModuleFacts) -> bool:
    """Whether a module imports wasi-nn, by whichever door."""
    return any(source == NN_MODULE or source.startswith("wasi:nn/") for source, _, _ in module.imports)


def uses_state(module: ModuleFacts | None) -> bool:
    """Whether a component imports the state store."""
    names = {interface("state-store"), interface("state-store", preview=True)}
    return module is not None and any(name in names for name, _, _ in module.imports)
