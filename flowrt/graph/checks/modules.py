"""Whether each module is there, is the right one, and can do what its operation needs."""

from __future__ import annotations

from collections.abc import Iterator

from flowrt.graph.facts import Facts, ModuleFacts, Unreadable
from flowrt.graph.graph import Graph, Loc
from flowrt.graph.model import WASI_NN
from flowrt.graph.resolve import bad_module_name
from flowrt.graph.wiring import kind_of
from flowrt.graph.worlds import NN_MODULE, NN_NEWER, NN_OLDER, kinds_of, missing, not_offered, uses_nn
from flowrt.operators.guest_config import GuestOperation
from flowrt.problem import Problem, nearest
from flowrt.quota.quantity import format_bytes

_CALL = "(i32, i32) -> (i32)"
ENTRY = {kind: f"flowrt_{kind}" for kind in ("map", "filter", "branch", "accumulate", "delay")}
"""What an operation type calls."""
REQUIRED = {"memory": "memory", "flowrt_abi": "() -> (i32)", "flowrt_buffer": "(i32) -> (i32)"}
OPTIONAL = {
    "flowrt_init": _CALL,
    "flowrt_save": "() -> (i32)",
    "flowrt_restore": _CALL,
    "_initialize": "() -> ()",
    **dict.fromkeys(ENTRY.values(), _CALL),
}
"""Exports and their signatures: docs/abi.md."""
HOST = {("flowrt", "log"): "(i32, i32, i32) -> ()", ("flowrt", "fail"): "(i32, i32, i32) -> ()"}
OPEN = ("wasi_snapshot_preview1", NN_MODULE)
"""Modules any function of which may be imported: a call to one that is not granted fails and is counted."""


def check(graph: Graph, facts: Facts) -> Iterator[Problem]:
    """Problems of every operation that has a module."""
    for index, operation in enumerate(graph.file.operations):
        loc = ("operations", index, "module")
        if not isinstance(operation, GuestOperation) or graph.made_up(operation.module):
            continue  # a module that is not named has been reported as a missing field
        module = facts.modules.get(operation.module)
        if isinstance(module, Unreadable):
            yield _unreadable(graph, loc, operation, module)
        elif module is not None:
            yield from _module(graph, loc, operation, module)
            yield from _carried(graph, loc, module, facts)


def _unreadable(graph: Graph, loc: Loc, operation: GuestOperation, module: Unreadable) -> Problem:
    name = operation.module
    if (wrong := bad_module_name(name)) is not None:
        return graph.problem(loc, "bad-module-name", f"module '{name}' {wrong}; name it [path/]name[:tag]")
    if module.missing:
        remedy = "" if "--modules" in module.reason else "; add --modules DIR or build it"
        message = f"module '{name}' was not found; {module.reason}{remedy}"
        return graph.problem(loc, "missing-module", message)
    return graph.problem(loc, "unreadable-module", f"module '{name}' cannot be used: {module.reason}; rebuild it")


def _module(graph: Graph, loc: Loc, operation: GuestOperation, module: ModuleFacts) -> Iterator[Problem]:
    if operation.sha256 is not None and module.digest != f"sha256:{operation.sha256}":
        message = f"module {module.path} has {module.digest}; fetch the right file or correct sha256"
        yield graph.problem((*loc[:2], "sha256"), "digest-mismatch", message)
    if module.form == "component":
        yield from _component(graph, loc, kind_of(operation), module)
        return
    if module.form != "core":
        yield _command(graph, loc, module)
        return
    yield from _exports(graph, loc, operation, module)
    yield from _imports(graph, loc, module)
    yield from _grants(graph, loc, operation, module)
    quota = operation.resources.memory
    if module.memory_bytes > quota:
        message = (
            f"module {module.path} asks for {format_bytes(module.memory_bytes)} at its start, and resources.memory is "
            f"{format_bytes(quota)}; raise it to at least {format_bytes(module.memory_bytes)}"
        )
        place = (*loc[:2], "resources", "memory")
        yield graph.problem(place, "memory-above-quota", message)


def _grants(graph: Graph, loc: Loc, operation: GuestOperation, module: ModuleFacts) -> Iterator[Problem]:
    given = {
        "grants": "network" in operation.grants,
        "folders": operation.folders,
        "environment": operation.environment,
    }
    for key in [key for key, granted in given.items() if granted]:
        what = "the network" if key == "grants" else key
        message = f"module {module.path} is a core module, which cannot be granted {what}; remove it"
        yield graph.problem((*loc[:2], key), "component-grant", message)


def _command(graph: Graph, loc: Loc, module: ModuleFacts) -> Problem:
    message = (
        f"module {module.path} is a command (it exports _start); run it with flowrt exec, or build it with the SDK"
    )
    return graph.problem(loc, "unsupported-module", message)


def _component(graph: Graph, loc: Loc, kind: str, module: ModuleFacts) -> Iterator[Problem]:
    """By names; the types of its functions are compared when it is compiled."""
    if (wrong := missing(module, kind)) is not None:
        code = "missing-export" if kinds_of(module) else "unsupported-module"
        yield graph.problem(loc, code, f"module {module.path} {wrong}")
        return
    unknown = not_offered(module)
    if not unknown:
        yield from _feature(graph, loc, module)
    for name in unknown:
        remedy = f"; of wasi:nn it has {NN_NEWER} and {NN_OLDER}" if name.startswith("wasi:nn/") else ""
        message = f"module {module.path} imports {name}, which this version does not offer to components{remedy}"
        yield graph.problem(loc, "unknown-import", message)


def _exports(graph: Graph, loc: Loc, operation: GuestOperation, module: ModuleFacts) -> Iterator[Problem]:
    kind = kind_of(operation)
    needed = {**REQUIRED, ENTRY[kind]: _CALL}
    if "flowrt_save" in module.exports:
        needed["flowrt_restore"] = _CALL
    for name, signature in needed.items():
        if name not in module.exports:
            yield graph.problem(loc, "missing-export", _missing(module, name, signature, kind))
    for name, signature in {**OPTIONAL, **needed}.items():
        found = module.exports.get(name)
        if found is not None and _normal(found) != signature:
            message = (
                f"module {module.path} exports {name} as {found}, and it must be {signature}; rebuild it with a "
                "current SDK"
            )
            yield graph.problem(loc, "wrong-signature", message)


def _missing(module: ModuleFacts, name: str, signature: str, kind: str) -> str:
    others = [other for other, entry in ENTRY.items() if entry in module.exports]
    if name == ENTRY[kind] and others:
        return (
            f"module {module.path} does not export {name}, which a {kind} calls; it can be used as "
            f"{' or '.join(others)}"
        )
    near = nearest(name, [export for export in module.exports if export not in REQUIRED and export not in OPTIONAL])
    return f"module {module.path} does not export {name} {signature}{near or '; build it with the C or Rust SDK'}"


def _carried(graph: Graph, loc: Loc, module: ModuleFacts, facts: Facts) -> Iterator[Problem]:
    for model in module.models:
        found = facts.models.get(model.path)
        if isinstance(found, Unreadable):
            message = f"the model '{model.name}' that module {module.path} carries cannot be used: {found.reason}"
            yield graph.problem(loc, "unreadable-model", f"{message}; embed it anew")


def _feature(graph: Graph, loc: Loc, module: ModuleFacts) -> Iterator[Problem]:
    declared = {feature.name for feature in graph.file.module_requirements.features}
    if uses_nn(module) and WASI_NN not in declared:
        message = f"module {module.path} imports wasi-nn; add moduleRequirements.features: [{{name: {WASI_NN}}}]"
        yield graph.warning(loc, "feature-missing", message)


def _imports(graph: Graph, loc: Loc, module: ModuleFacts) -> Iterator[Problem]:
    yield from _feature(graph, loc, module)
    for source, name, signature in module.imports:
        if source in OPEN:
            continue
        wanted = HOST.get((source, name))
        if wanted is None:
            near = nearest(f"{source}.{name}", [".".join(known) for known in HOST])
            message = (
                f"module {module.path} imports {source}.{name}, which no host offers{near or '; rebuild it without'}"
            )
            yield graph.problem(loc, "unknown-import", message)
        elif _normal(signature) != wanted:
            message = (
                f"module {module.path} imports {source}.{name} as {signature}, and it is {wanted}; rebuild it with "
                "a current SDK"
            )
            yield graph.problem(loc, "wrong-signature", message)


def _normal(signature: str) -> str:
    """Signatures are compared as written in docs/abi.md: `()` may stand for no arrow."""
    return signature if "->" in signature or not signature.startswith("(") else f"{signature} -> ()"
