"""The component interfaces `wasi:nn` as names and types: pure.

Format: WebAssembly/wasi-nn's WIT, both revisions that published guests import. They differ in `inference` alone: the
older one sets inputs and takes outputs one by one, the newer hands all of them to `compute` and gets all back. Types
are written as `flowrt.wasm.component.signature` prints them.
"""

from __future__ import annotations

from flowrt.graph.worlds import NN_NEWER, NN_OLDER, direct_interface, nn_interface
from flowrt.nn.encodings import ENCODINGS
from flowrt.nn.faults import Code

REVISIONS = (NN_NEWER, NN_OLDER)

TYPES = {"FP16": "f16", "FP32": "f32", "FP64": "f64", "BF16": "bf16", "U8": "u8", "I32": "i32", "I64": "i64"}
"""Our names of the tensor types, in the interface's order."""
LABELS = {ours: label for label, ours in TYPES.items()} | {
    "i8": "U8", "bool": "U8", "u16": "U8", "i16": "U8", "u32": "I32", "u64": "I64",
}  # fmt: skip
"""The label of each of our types; those that have none pass under the nearest, with the bytes as they are."""
TARGETS = ("cpu", "gpu", "tpu")
CODES = (
    "invalid-argument", "invalid-encoding", "timeout", "runtime-error", "unsupported-operation", "too-large",
    "not-found", "security", "unknown",
)  # fmt: skip
_NEAREST: dict[Code, str] = {"model-not-found": "not-found"}
"""For codes that only the core ABI has."""


def code_of(code: Code) -> str:
    """What the interface has for a fault."""
    return code if code in CODES else _NEAREST[code]


def _enum(*names: str) -> str:
    return f"enum {{{', '.join(names)}}}"


_NAMED = "list<tuple<string, own>>"
_INFERENCE = {
    NN_NEWER: {"[method]graph-execution-context.compute": f"(borrow, {_NAMED}) -> result<{_NAMED}, own>"},
    NN_OLDER: {
        "[method]graph-execution-context.set-input": "(borrow, string, own) -> result<_, own>",
        "[method]graph-execution-context.compute": "(borrow) -> result<_, own>",
        "[method]graph-execution-context.get-output": "(borrow, string) -> result<own, own>",
    },
}


def _interfaces(revision: str) -> dict[str, dict[str, str]]:
    return {
        nn_interface("tensor", revision): {
            "[constructor]tensor": f"(list<u32>, {_enum(*TYPES)}, list<u8>) -> own",
            "[method]tensor.dimensions": "(borrow) -> list<u32>",
            "[method]tensor.ty": f"(borrow) -> {_enum(*TYPES)}",
            "[method]tensor.data": "(borrow) -> list<u8>",
        },
        nn_interface("graph", revision): {
            "[method]graph.init-execution-context": "(borrow) -> result<own, own>",
            "load": f"(list<list<u8>>, {_enum(*ENCODINGS)}, {_enum(*TARGETS)}) -> result<own, own>",
            "load-by-name": "(string) -> result<own, own>",
        },
        nn_interface("inference", revision): _INFERENCE[revision],
        nn_interface("errors", revision): {
            "[method]error.code": f"(borrow) -> {_enum(*CODES)}",
            "[method]error.data": "(borrow) -> string",
        },
    }


def _direct(interfaces: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
    """The same where long lists cross in place: a list is address and count, and what `data` gives the host writes."""
    lists = {"list<u8>) -> own": "u32, u32) -> own", "(list<list<u8>>, ": "(u32, u32, "}
    found: dict[str, dict[str, str]] = {}
    for name, functions in interfaces.items():
        for function, signature in functions.items():
            for long, short in lists.items():
                signature = signature.replace(long, short)
            changed = "(borrow, u32, u32) -> u32" if function == "[method]tensor.data" else signature
            found.setdefault(direct_interface(name), {})[function] = changed
    return found


OFFERED = {name: functions for revision in REVISIONS for name, functions in _interfaces(revision).items()}
"""Functions and their signatures by interface."""
OFFERED |= _direct({name: functions for name, functions in OFFERED.items() if "/tensor@" in name or "/graph@" in name})
