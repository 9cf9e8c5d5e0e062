"""What a .wasm file says of itself, read from its bytes without running or compiling it.

Source of the format: the WebAssembly core specification 2.0, chapter 5 (binary format), and the component model's
Binary.md for the preamble and the import and export sections of a component. The reader trusts nothing: a file that
ends early, counts wrongly or names a number that does not fit gives `Unreadable` with the reason.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from flowrt.graph.facts import ModuleFacts, ModuleForm, Unreadable
from flowrt.message import TENSOR_BYTES, Tensor
from flowrt.registry.cache_folder import cache_folder
from flowrt.values import Struct, field, replace
from flowrt.wasm import embedded
from flowrt.wasm.binary import Malformed, Reader

if TYPE_CHECKING:
    from flowrt.wasm.engine import Engine

PAGE = 65536
_FILE_MAX = 256 << 20
_SECTION_MAX = 64 << 10
"""Bytes of a `flowrt` section."""
_CORE, _COMPONENT = b"\0asm\1\0\0\0", b"\0asm\x0d\0\1\0"
_CUSTOM, _TYPE, _IMPORT, _FUNCTION, _MEMORY, _EXPORT = 0, 1, 2, 3, 5, 7
_COMPONENT_IMPORT, _COMPONENT_EXPORT = 10, 11
_VALUE_TYPES = {
    0x7F: "i32", 0x7E: "i64", 0x7D: "f32", 0x7C: "f64", 0x7B: "v128", 0x70: "funcref", 0x6F: "externref",
}  # fmt: skip
_EXTERNAL = ("func", "table", "memory", "global", "tag")
_COMPONENT_SORTS = {1: "func", 2: "value", 3: "type", 4: "component", 5: "instance"}
_RANK_MAX = 16


def digest_of(code: bytes) -> str:
    """As `ModuleFacts.digest` has it."""
    return f"sha256:{hashlib.sha256(code).hexdigest()}"


def inspect_module(path: Path, *, engine: Engine | None = None) -> ModuleFacts | Unreadable:
    """Read a module's or component's facts. With an `engine`, its code is validated too (not of components)."""
    try:
        with path.open("rb") as file:
            code = file.read(_FILE_MAX + 1)
    except FileNotFoundError:
        return Unreadable(f"{path} does not exist", missing=True)
    except OSError as error:
        return Unreadable(f"{path} cannot be read: {error.strerror}")
    if len(code) > _FILE_MAX:
        return Unreadable(f"{path} is larger than {_FILE_MAX >> 20} MiB")
    facts = _with_embedded(code, inspect_bytes(code, str(path)))
    if engine is not None and isinstance(facts, ModuleFacts) and facts.form != "component":
        reason = engine.refusal(code)
        if reason is not None:
            return Unreadable(f"the engine refuses it: {reason}")
    return facts


def _with_embedded(code: bytes, facts: ModuleFacts | Unreadable) -> ModuleFacts | Unreadable:
    """The facts, and what the module carries with it brought to files."""
    if isinstance(facts, Unreadable):
        return facts
    sections = (section for kind, section in Reader(memoryview(code)[8:]).sections() if kind == _CUSTOM)
    try:
        carried = [embedded.read(section.rest()) for section in sections if section.name() == embedded.SECTION]
        models = [model for models, _ in carried for model in embedded.as_files(models, cache_folder())]
    except (Malformed, embedded.EmbeddedError) as error:
        return Unreadable(str(error))
    properties = {key: value for _, parameters in carried for key, value in parameters.items()}
    return replace(facts, models=tuple(models), properties=tuple(properties.items()))


def inspect_bytes(code: bytes, path: str = "") -> ModuleFacts | Unreadable:
    """The facts of a file's contents. Never raises for what the bytes are."""
    preamble = code[:8]
    try:
        if preamble == _CORE:
            return _core(code, path)
        if preamble == _COMPONENT:
            return _component(code, path)
    except Malformed as error:
        return Unreadable(f"it is damaged or no WebAssembly: {error}")
    if preamble[:4] == b"\0asm":
        return Unreadable(f"its version {preamble[4:].hex()} is neither a module's nor a component's")
    if code.lstrip()[:7] in {b"(module", b"(compon"}:
        return Unreadable("it is WebAssembly text; translate it to a binary first, as with wat2wasm")
    return Unreadable("it is not a WebAssembly binary")


class _Module(Struct):
    types: list[str] = field(default_factory=list)
    functions: list[str] = field(default_factory=list)
    imports: list[tuple[str, str, str]] = field(default_factory=list)
    exports: dict[str, str] = field(default_factory=dict)
    pages: int = 0
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    declared: bool = False


def _core(code: bytes, path: str) -> ModuleFacts:
    module = _Module()
    read: dict[int, Callable[[Reader, _Module], None]] = {
        _CUSTOM: _read_custom,
        _TYPE: _read_types,
        _IMPORT: _read_imports,
        _FUNCTION: _read_functions,
        _MEMORY: _read_memories,
        _EXPORT: _read_exports,
    }
    for kind, section in Reader(memoryview(code)[8:]).sections():
        if kind in read:
            read[kind](section, module)
    form: ModuleForm = "command" if "_start" in module.exports and "flowrt_abi" not in module.exports else "core"
    return ModuleFacts(
        path, digest_of(code), form, module.exports, tuple(module.imports), module.pages * PAGE,
        module.inputs, module.outputs,
    )  # fmt: skip


def _read_types(section: Reader, module: _Module) -> None:
    for _ in range(section.number()):
        form = section.byte()
        if form != 0x60:
            raise Malformed(f"it has a type of form 0x{form:x} (garbage-collected types are not supported)")
        parameters, results = _value_types(section), _value_types(section)
        module.types.append(f"({', '.join(parameters)}) -> ({', '.join(results)})")


def _value_types(section: Reader) -> list[str]:
    return [_value_type(section) for _ in range(section.number())]


def _value_type(section: Reader) -> str:
    code = section.byte()
    if code not in _VALUE_TYPES:
        raise Malformed(f"it has a value of type 0x{code:x}, which is not supported")
    return _VALUE_TYPES[code]


def _read_imports(section: Reader, module: _Module) -> None:
    for _ in range(section.number()):
        source, name, kind = section.name(), section.name(), section.byte()
        if kind == 0:
            signature = _at(module.types, section.number(), "type")
            module.functions.append(signature)
        elif kind == 1:
            _value_type(section)
            _limits(section)
            signature = "table"
        elif kind == 2:
            module.pages += _limits(section)
            signature = "memory"
        elif kind == 3:
            _value_type(section)
            section.byte()
            signature = "global"
        elif kind == 4:
            section.byte()
            section.number()
            signature = "tag"
        else:
            raise Malformed(f"an import is of kind {kind}")
        module.imports.append((source, name, signature))


def _read_functions(section: Reader, module: _Module) -> None:
    for _ in range(section.number()):
        module.functions.append(_at(module.types, section.number(), "type"))


def _read_memories(section: Reader, module: _Module) -> None:
    for _ in range(section.number()):
        module.pages += _limits(section)


def _limits(section: Reader) -> int:
    """The minimum of a memory or table."""
    flags = section.byte()
    bits = 64 if flags & 4 else 32
    minimum = section.number(bits)
    if flags & 1:
        section.number(bits)
    if flags & 8:
        section.number()
    return minimum


def _read_exports(section: Reader, module: _Module) -> None:
    for _ in range(section.number()):
        name, kind, index = section.name(), section.byte(), section.number()
        if kind >= len(_EXTERNAL):
            raise Malformed(f"export '{name}' is of kind {kind}")
        module.exports[name] = _at(module.functions, index, "function") if kind == 0 else _EXTERNAL[kind]


def _at(items: list[str], index: int, what: str) -> str:
    if index >= len(items):
        raise Malformed(f"it names {what} {index} of {len(items)}")
    return items[index]


def _read_custom(section: Reader, module: _Module) -> None:
    if section.name() != "flowrt":
        return
    if module.declared:
        raise Malformed("it has two sections named 'flowrt'")
    module.declared = True
    text = bytes(section.rest())
    if len(text) > _SECTION_MAX:
        raise Malformed(f"its section 'flowrt' is larger than {_SECTION_MAX} bytes")
    try:
        declared = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Malformed("its section 'flowrt' is not JSON") from error
    if not isinstance(declared, dict):
        raise Malformed("its section 'flowrt' is not a JSON object")
    module.inputs = _tensors(declared.get("input", []))
    module.outputs = _tensors(declared.get("output", []))


def _tensors(declared: object) -> tuple[Tensor, ...]:
    if not isinstance(declared, list):
        raise Malformed("its section 'flowrt' has an input or output that is not a list")
    return tuple(map(_tensor, declared))


def _tensor(declared: object) -> Tensor:
    match declared:
        case {"name": str(name), "type": str(kind), "shape": list(shape)}:
            sound = len(shape) <= _RANK_MAX and all(type(extent) is int and -1 <= extent < 2**31 for extent in shape)
            if kind in TENSOR_BYTES and sound:
                return Tensor(name, kind, tuple(shape))
    raise Malformed(
        f"its section 'flowrt' describes a tensor as {json.dumps(declared)[:80]}; "
        'write {"name": "x", "type": "f32", "shape": [24]}'
    )


def _component(code: bytes, path: str) -> ModuleFacts:
    """Names only: what stands in nested sections is the engine's to read."""
    imports: list[tuple[str, str, str]] = []
    exports: dict[str, str] = {}
    for kind, section in Reader(memoryview(code)[8:]).sections():
        if kind == _COMPONENT_IMPORT:
            imports += [(name, "", "") for name, _ in _component_names(section, exported=False)]
        elif kind == _COMPONENT_EXPORT:
            exports |= dict(_component_names(section, exported=True))
    return ModuleFacts(path, digest_of(code), "component", exports, tuple(imports))


def _component_names(section: Reader, *, exported: bool) -> list[tuple[str, str]]:
    """Name and sort of each import or export. An export names what it exports, and may describe it as well."""
    found = []
    for _ in range(section.number()):
        form = section.byte()
        if form > 2:
            raise Malformed("a component's name is of an unknown form")
        name = section.name()
        if form == 2:
            section.name()  # the rest of its version
        if exported:
            sort = _sort(section)
            section.number()
            if section.byte():
                _description(section)
        else:
            sort = _description(section)
        found.append((name, sort))
    return found


def _sort(section: Reader) -> str:
    sort = section.byte()
    if sort == 0:
        section.byte()
        return "module"
    if sort not in _COMPONENT_SORTS:
        raise Malformed(f"a component's item is of sort {sort}")
    return _COMPONENT_SORTS[sort]


def _description(section: Reader) -> str:
    """The `externdesc` of an import or export."""
    sort = _sort(section)
    if sort in {"type", "value"}:
        if not section.byte() or sort == "value":
            section.number(35)
    else:
        section.number()
    return sort
