"""Components changed before they are compiled, so that long lists cross to the host in place.

The engine's C API hands a `list<u8>` over byte by byte, 32 bytes of value for each. Here the functions of a host's
interfaces that take or give such lists are given other types: a parameter becomes address and count, which is what the
guest passes anyway, and a result is written by the host into room that the guest's own allocator made, by a few
instructions put between the guest and the import. The guest sees no difference. What was changed has other names, so
that both forms can be told apart and offered side by side.

What cannot be changed with certainty (more than one memory, interfaces passed on to inner components, forms not known
here) stays as it is: then lists cross as the engine does it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flowrt.values import Struct, field
from flowrt.wasm.binary import Malformed, Reader, counted, number, section, text
from flowrt.wasm.component.deftypes import (
    SORT_CORE,
    SORT_FUNCTION,
    SORT_INSTANCE,
    SORT_TYPE,
    Direct,
    skip_description,
    skip_name,
    skip_sort,
    skip_type,
    with_direct,
)

_PREAMBLE = b"\0asm\x0d\0\1\0"
_CUSTOM, _MODULE, _CORE_INSTANCE, _CORE_TYPE, _INNER, _INSTANCE, _ALIAS, _TYPE, _CANON = range(9)
_IMPORT, _EXPORT = 10, 11
_CORE_FUNCTION, _CORE_MEMORY, _CORE_MODULE, _CORE_INSTANCE_SORT = 0x00, 0x02, 0x11, 0x12
_RESOURCE = 0x3F
_LIFT, _LOWER = 0, 1
_RESOURCE_FORMS = (2, 3, 4)
_PLAIN_OPTIONS, _MEMORY_OPTION, _REALLOC, _POST_RETURN = (0, 1, 2), 3, 4, 5
_MEMORY_SECTION = 5

BRIDGE = """(module
  (import "g" "raw" (func $raw (param i32 i32 i32) (result i32)))
  (import "g" "realloc" (func $realloc (param i32 i32 i32 i32) (result i32)))
  (import "g" "memory" (memory 0))
  (func (export "f") (param $self i32) (param $result i32) (local $size i32) (local $at i32)
    (local.set $size (call $raw (local.get $self) (i32.const 0) (i32.const 0)))
    (local.set $at (call $realloc (i32.const 0) (i32.const 0) (i32.const 1) (local.get $size)))
    (drop (call $raw (local.get $self) (i32.const 1) (local.get $at)))
    (i32.store (local.get $result) (local.get $at))
    (i32.store offset=4 (local.get $result) (local.get $size))))"""
"""Between the guest and a function that fills."""

Changes = Mapping[str, Mapping[str, Direct]]
"""By interface and function."""


def direct(code: bytes, changes: Changes, rename: Callable[[str], str], bridge: bytes) -> bytes:
    """The component with the functions of `changes` among its imports changed, under the interfaces' new names; as it
    was where it has none of them or cannot be changed. `bridge` is `BRIDGE` as a binary."""
    if not code.startswith(_PREAMBLE) or not any(name.encode() in code for name in changes):
        return code
    try:
        if _memories(code) != 1:
            return code
        return Rewriter(changes, rename, bridge).run(code)
    except (Malformed, IndexError):
        return code


def _memories(code: bytes) -> int:
    """How many memories the modules of a component make, those of inner ones included."""
    count = 0
    for kind, body in Reader(memoryview(code)[8:]).sections():
        if kind == _INNER:
            count += _memories(bytes(body.rest()))
        elif kind == _MODULE:
            count += sum(
                part.number() for inner, part in Reader(body.rest()[8:]).sections() if inner == _MEMORY_SECTION
            )
    return count


class _Spaces(Struct):
    """New indices by old ones, and how many there are."""

    moved: list[int] = field(default_factory=list)
    count: int = 0

    def add(self) -> int:
        """A thing that was there."""
        self.moved.append(self.count)
        return self.make()

    def make(self) -> int:
        """A thing of ours."""
        self.count += 1
        return self.count - 1


class Rewriter:
    """Reads one component and writes it anew: what is added moves the indices of what follows."""

    def __init__(self, changes: Changes, rename: Callable[[str], str], bridge: bytes) -> None:
        self._changes = changes
        self._rename = rename
        self._bridge_code = bridge
        self._bridge: int | None = None
        self._modules, self._core_instances, self._core_functions = _Spaces(), _Spaces(), _Spaces()
        self._types = 0
        self._instances: list[str] = []
        """By index, the interface where one of `changes`, else nothing."""
        self._functions: list[Direct | None] = []
        self._edits: dict[int, str] = {}
        """Types that interfaces of `changes` have, by index."""
        self._out: list[bytes] = []

    def run(self, code: bytes) -> bytes:
        sections = [(kind, bytes(body.rest())) for kind, body in Reader(memoryview(code)[8:]).sections()]
        self._find(sections)
        write = {
            _CORE_INSTANCE: self._core_instance, _INSTANCE: self._instance, _ALIAS: self._alias, _TYPE: self._type,
            _CANON: self._canon, _IMPORT: self._import, _EXPORT: self._export,
        }  # fmt: skip
        for kind, body in sections:
            if kind in write:
                self._items(kind, body, write[kind])
            elif kind in {_CUSTOM, _CORE_TYPE}:
                self._out.append(section(kind, body))
            elif kind == _MODULE:
                self._modules.add()
                self._out.append(section(kind, body))
            elif kind == _INNER:
                _check_inner(body)
                self._out.append(section(kind, body))
            else:
                raise Malformed(f"a section of kind {kind}")
        return _PREAMBLE + b"".join(self._out)

    def _find(self, sections: list[tuple[int, bytes]]) -> None:
        for kind, body in sections:
            if kind != _IMPORT:
                continue
            reader = Reader(memoryview(body))
            for _ in range(reader.number()):
                name = skip_name(reader)
                sort, index = skip_description(reader)
                if name in self._changes and sort == SORT_INSTANCE:
                    if index in self._edits:
                        raise Malformed("two interfaces share a type")
                    self._edits[index] = name

    def _items(self, kind: int, body: bytes, write: Callable[[Reader], bytes | None]) -> None:
        """The items of a section, in as many sections as what comes between needs."""
        reader, items = Reader(memoryview(body)), list[bytes]()
        for _ in range(reader.number()):
            before = len(self._out)
            item = write(reader)
            added, self._out[before:] = self._out[before:], []
            if added:
                self._out += [section(kind, counted(items)), *added]
                items = []
            if item is not None:
                items.append(item)
        self._out.append(section(kind, counted(items)))

    def _core_instance(self, reader: Reader) -> bytes:
        form = reader.byte()
        self._core_instances.add()
        if form == 0:
            module = self._modules.moved[reader.number()]
            arguments = []
            for _ in range(reader.number()):
                name, sort = reader.name(), reader.byte()
                arguments.append(text(name) + bytes((sort,)) + number(self._core_index(sort, reader.number())))
            return b"\0" + number(module) + counted(arguments)
        exports = []
        for _ in range(reader.number()):
            name, sort = reader.name(), reader.byte()
            exports.append(text(name) + bytes((sort,)) + number(self._core_index(sort, reader.number())))
        return b"\1" + counted(exports)

    def _core_index(self, sort: int, index: int) -> int:
        spaces = {
            _CORE_FUNCTION: self._core_functions,
            _CORE_MODULE: self._modules,
            _CORE_INSTANCE_SORT: self._core_instances,
        }
        return spaces[sort].moved[index] if sort in spaces else index

    def _instance(self, reader: Reader) -> bytes:
        form = reader.byte()
        made = bytes((form,))
        if form == 0:
            made += number(reader.number())
        items = []
        for _ in range(reader.number()):
            start = reader.place()
            if form == 0:
                reader.name()
            else:
                skip_name(reader)
            items.append(reader.since(start) + self._sort_index(reader))
        self._instances.append("")
        return made + counted(items)

    def _sort_index(self, reader: Reader) -> bytes:
        start = reader.place()
        sort, core = skip_sort(reader)
        head, index = reader.since(start), reader.number()
        if sort == SORT_CORE:
            return head + number(self._core_index(core, index))
        if (sort == SORT_INSTANCE and self._instances[index]) or (sort == SORT_FUNCTION and self._functions[index]):
            raise Malformed("a changed interface is handed on")
        return head + number(index)

    def _alias(self, reader: Reader) -> bytes:
        start = reader.place()
        sort, core = skip_sort(reader)
        head, target = reader.since(start), reader.byte()
        first = reader.number()
        if target == 2:
            second = reader.number()
            rest = number(first) + number(second)
            name = ""
        else:
            name = reader.name()
            moved = self._core_instances.moved[first] if target == 1 else first
            rest = number(moved) + text(name)
        interface = self._instances[first] if target == 0 else ""
        self._grow(sort, core, self._changes.get(interface, {}).get(name))
        return head + bytes((target,)) + rest

    def _grow(self, sort: int, core: int, change: Direct | None = None) -> None:
        """Something new has the next index of its sort."""
        if sort == SORT_FUNCTION:
            self._functions.append(change)
        elif sort == SORT_INSTANCE:
            self._instances.append("")
        elif sort == SORT_TYPE:
            self._types += 1
        elif sort == SORT_CORE and core in {_CORE_FUNCTION, _CORE_MODULE, _CORE_INSTANCE_SORT}:
            space = {_CORE_FUNCTION: self._core_functions, _CORE_MODULE: self._modules}
            space.get(core, self._core_instances).add()

    def _type(self, reader: Reader) -> bytes:
        start = reader.place()
        index, self._types = self._types, self._types + 1
        if (form := reader.byte()) == _RESOURCE:
            return bytes((form, reader.byte())) + self._destructor(reader)
        reader.back(start)
        skip_type(reader)
        made = reader.since(start)
        if index in self._edits:
            return with_direct(made, self._changes[self._edits[index]])
        return made

    def _destructor(self, reader: Reader) -> bytes:
        if not reader.byte():
            return b"\0"
        return b"\1" + number(self._core_functions.moved[reader.number()])

    def _import(self, reader: Reader) -> bytes:
        start = reader.place()
        name = skip_name(reader)
        head, at = reader.since(start), reader.place()
        sort, _ = skip_description(reader)
        if sort == SORT_INSTANCE:
            self._instances.append(name if name in self._changes else "")
        elif sort == SORT_FUNCTION:
            self._functions.append(None)
        elif sort == SORT_TYPE:
            self._types += 1
        elif sort == SORT_CORE:
            self._modules.add()
        if name in self._changes:
            head = bytes((head[0],)) + text(self._rename(name))
        return head + reader.since(at)

    def _export(self, reader: Reader) -> bytes:
        start = reader.place()
        skip_name(reader)
        head, at = reader.since(start), reader.place()
        sort, _ = skip_sort(reader)
        reader.back(at)
        made, at = self._sort_index(reader), reader.place()
        if reader.byte():
            skip_description(reader)
        self._grow(sort, -1)
        return head + made + reader.since(at)

    def _canon(self, reader: Reader) -> bytes | None:
        form = reader.byte()
        if form == _LIFT:
            reader.byte()
            function, options = self._core_functions.moved[reader.number()], self._options(reader)
            self._functions.append(None)
            return bytes((form, 0)) + number(function) + counted(options) + number(reader.number())
        if form in _RESOURCE_FORMS:
            self._core_functions.add()
            return bytes((form,)) + number(reader.number())
        if form != _LOWER:
            raise Malformed(f"a canonical function of form {form}")
        reader.byte()
        index, options = reader.number(), self._options(reader)
        change = self._functions[index]
        if change is None or not change.fills:
            self._core_functions.add()
            return bytes((form, 0)) + number(index) + counted(options)
        self._between(index, options)
        return None

    def _options(self, reader: Reader) -> list[bytes]:
        made = []
        for _ in range(reader.number()):
            kind = reader.byte()
            if kind in _PLAIN_OPTIONS:
                made.append(bytes((kind,)))
            elif kind == _MEMORY_OPTION:
                made.append(bytes((kind,)) + number(reader.number()))
            elif kind in {_REALLOC, _POST_RETURN}:
                made.append(bytes((kind,)) + number(self._core_functions.moved[reader.number()]))
            else:
                raise Malformed(f"an option of kind {kind}")
        return made

    def _between(self, index: int, options: list[bytes]) -> None:
        """The lowered function, our instance around it, and what it exports in the place of the function."""
        chosen = {option[0]: option[1:] for option in options}
        if _MEMORY_OPTION not in chosen or _REALLOC not in chosen:
            raise Malformed("a list without a memory")
        if self._bridge is None:
            self._bridge = self._modules.make()
            self._out.append(section(_MODULE, self._bridge_code))
        raw = self._core_functions.make()
        given, made = self._core_instances.make(), self._core_instances.make()
        exports = [
            text("raw") + bytes((_CORE_FUNCTION,)) + number(raw),
            text("realloc") + bytes((_CORE_FUNCTION,)) + chosen[_REALLOC],
            text("memory") + bytes((_CORE_MEMORY,)) + chosen[_MEMORY_OPTION],
        ]
        around = [text("g") + bytes((_CORE_INSTANCE_SORT,)) + number(given)]
        bridge = b"\0" + number(self._bridge) + counted(around)
        self._core_functions.add()
        self._out += [
            section(_CANON, counted([bytes((_LOWER, 0)) + number(index) + counted([])])),
            section(_CORE_INSTANCE, counted([b"\1" + counted(exports), bridge])),
            section(_ALIAS, counted([bytes((SORT_CORE, _CORE_FUNCTION, 1)) + number(made) + text("f")])),
        ]


def _check_inner(body: bytes) -> None:
    """An inner component that reaches for modules of the outer one would have to be changed too."""
    for kind, part in Reader(memoryview(body)[8:]).sections():
        if kind == _INNER:
            _check_inner(bytes(part.rest()))
        elif kind == _ALIAS:
            for _ in range(part.number()):
                sort, core = skip_sort(part)
                target = part.byte()
                part.number()
                if target == 2:
                    part.number()
                    if sort == SORT_CORE and core == _CORE_MODULE:
                        raise Malformed("an inner component uses modules of the outer one")
                else:
                    part.name()
