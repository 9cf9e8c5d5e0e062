"""The types of a component's binary: walked through, and functions of an imported interface given other ones.

Source: the component model's Binary.md. What is not known here is `Malformed`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from flowrt.values import Struct
from flowrt.wasm.binary import Malformed, Reader, counted, text

_U32 = b"\x79"
_PLAIN = frozenset({0x64, *range(0x73, 0x80)})
_FUNCTION, _COMPONENT, _INSTANCE, _RESOURCE = 0x40, 0x41, 0x42, 0x3F
_DECLARED_TYPE, _DECLARED_ALIAS, _DECLARED_IMPORT, _DECLARED_EXPORT = 1, 2, 3, 4
SORT_CORE, SORT_FUNCTION, SORT_VALUE, SORT_TYPE, SORT_COMPONENT, SORT_INSTANCE = range(6)


class Direct(Struct, frozen=True):
    """How a function of a host's interface is changed so that lists of it stay where they are."""

    raw: tuple[int, ...] = ()
    """Parameters, lists, that come as address and count."""
    fills: bool = False
    """Whether its result, a `list<u8>`, is written by the host: it is then asked twice, `(self, 0, 0)` how many bytes,
    and `(self, 1, address)` to put them there."""


def skip_name(reader: Reader) -> str:
    """The name of an import or export."""
    form = reader.byte()
    if form > 2:
        raise Malformed("a component's name is of an unknown form")
    name = reader.name()
    if form == 2:
        reader.name()
    return name


def skip_sort(reader: Reader) -> tuple[int, int]:
    """A sort, and which of core's where it is core's."""
    sort = reader.byte()
    if sort > SORT_INSTANCE:
        raise Malformed(f"a component's item is of sort {sort}")
    return sort, reader.byte() if sort == SORT_CORE else 0


def skip_description(reader: Reader) -> tuple[int, int]:
    """What an import or export is: its sort, and the index of its type, or -1."""
    sort, _ = skip_sort(reader)
    if sort in {SORT_VALUE, SORT_TYPE}:
        bound = reader.byte()
        if sort == SORT_VALUE and bound:
            skip_value(reader)
        elif not bound:
            reader.number()
        return sort, -1
    return sort, reader.number()


def skip_value(reader: Reader) -> bytes:
    """A value's type: a plain one, or the index of a type."""
    start = reader.place()
    first = reader.byte()
    if first & 0x80:
        reader.number(28)
    elif first & 0x40 and first not in _PLAIN:
        raise Malformed(f"a value is of type 0x{first:x}")
    return reader.since(start)


def skip_type(reader: Reader) -> int:
    """A defined type; its form."""
    form = reader.byte()
    if form in _PLAIN:
        return form
    if form == _FUNCTION:
        _function(reader)
    elif form in {_COMPONENT, _INSTANCE}:
        for _ in range(reader.number()):
            _declaration(reader)
    elif form in _SKIP:
        _SKIP[form](reader)
    else:
        raise Malformed(f"a type is of form 0x{form:x}")
    return form


def _each(skip: Callable[[Reader], object]) -> Callable[[Reader], None]:
    def all_(reader: Reader) -> None:
        for _ in range(reader.number()):
            skip(reader)

    return all_


def _maybe(reader: Reader) -> None:
    if reader.byte():
        skip_value(reader)


def _field(reader: Reader) -> None:
    reader.name()
    skip_value(reader)


def _case(reader: Reader) -> None:
    reader.name()
    _maybe(reader)
    _maybe(reader)


def _two(reader: Reader) -> None:
    _maybe(reader)
    _maybe(reader)


def _sized(reader: Reader) -> None:
    skip_value(reader)
    reader.number()


_SKIP: Mapping[int, Callable[[Reader], object]] = {
    0x72: _each(_field), 0x71: _each(_case), 0x70: skip_value, 0x67: _sized, 0x6F: _each(skip_value),
    0x6E: _each(Reader.name), 0x6D: _each(Reader.name), 0x6B: skip_value, 0x6A: _two, 0x69: Reader.number,
    0x68: Reader.number, 0x66: _maybe, 0x65: _maybe,
}  # fmt: skip
"""record, variant, list, list of fixed length, tuple, flags, enum, option, result, own, borrow, stream, future."""


def _function(reader: Reader) -> tuple[list[tuple[str, bytes]], bytes]:
    """Parameters by name, and the result."""
    parameters = [(reader.name(), skip_value(reader)) for _ in range(reader.number())]
    if not reader.byte():
        return parameters, skip_value(reader)
    reader.byte()
    return parameters, b""


def _declaration(reader: Reader) -> tuple[int, int, str]:
    """A declaration of an instance's or a component's type: its kind; of a type its form, of an export the index of
    its function's type, or -1; and an export's name."""
    kind = reader.byte()
    if kind == _DECLARED_TYPE:
        return kind, skip_type(reader), ""
    if kind == _DECLARED_ALIAS:
        of = skip_alias(reader)
        return kind, SORT_TYPE if of == (SORT_TYPE, 0) else -1, ""
    if kind in {_DECLARED_IMPORT, _DECLARED_EXPORT}:
        name = skip_name(reader)
        sort, index = skip_description(reader)
        return kind, index if sort == SORT_FUNCTION else (-2 if sort == SORT_TYPE else -1), name
    raise Malformed("an interface has types of core modules")


def skip_alias(reader: Reader) -> tuple[int, int]:
    """An alias within a type; what it is of."""
    sort = skip_sort(reader)
    target = reader.byte()
    reader.number()
    if target == 2:
        reader.number()
    else:
        reader.name()
    return sort


def with_direct(instance: bytes, changes: Mapping[str, Direct]) -> bytes:
    """The type of an interface with some of its functions changed. Raises `Malformed` where they cannot be."""
    reader = Reader(memoryview(instance))
    if reader.byte() != _INSTANCE:
        raise Malformed("an interface that is not an instance")
    declarations: list[bytes] = []
    places: list[int] = []
    """By the index of a type, the declaration that makes it."""
    users: dict[int, list[str]] = {}
    for at in range(reader.number()):
        start = reader.place()
        kind, what, name = _declaration(reader)
        declarations.append(reader.since(start))
        if kind == _DECLARED_TYPE or (kind == _DECLARED_ALIAS and what == SORT_TYPE) or what == -2:
            places.append(at)
        elif kind == _DECLARED_EXPORT and what >= 0:
            users.setdefault(what, []).append(name)
    for index, names in users.items():
        if not changes.keys() & set(names):
            continue
        if len(names) > 1 or index >= len(places):
            raise Malformed("two functions share a type")
        declarations[places[index]] = _changed(declarations[places[index]], changes[names[0]])
    return bytes((_INSTANCE,)) + counted(declarations)


def _changed(declaration: bytes, change: Direct) -> bytes:
    reader = Reader(memoryview(declaration))
    if reader.byte() != _DECLARED_TYPE or reader.byte() != _FUNCTION:
        raise Malformed("a function whose type is elsewhere")
    parameters, result = _function(reader)
    if any(at >= len(parameters) or parameters[at][1][0] in _PLAIN for at in change.raw):
        raise Malformed("a parameter that is no list")
    made: list[bytes] = []
    for at, (name, kind) in enumerate(parameters):
        made += [text(name) + _U32, text(name + "-count") + _U32] if at in change.raw else [text(name) + kind]
    if change.fills:
        made += [text("direct-fill") + _U32, text("direct-at") + _U32]
        result = _U32
    return bytes((_DECLARED_TYPE, _FUNCTION)) + counted(made) + (b"\0" + result if result else b"\1\0")
