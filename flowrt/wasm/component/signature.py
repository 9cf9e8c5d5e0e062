"""What a component's functions take and give, as text, so that it can be compared with what is expected.

Parameter names are left out: they do not matter to a call. Resources are `own` and `borrow`, whichever type they are
of: the engine compares that itself whenever one passes.
"""

from __future__ import annotations

from collections.abc import Iterator

from wasmtime import Engine
from wasmtime import component as native

_PARTS_MAX = 2000
"""Parts of one signature. The largest we know has 120; types may share parts and write out exponentially long."""
_PLAIN = {
    native.Bool: "bool", native.S8: "s8", native.S16: "s16", native.S32: "s32", native.S64: "s64",
    native.U8: "u8", native.U16: "u16", native.U32: "u32", native.U64: "u64", native.F32: "f32", native.F64: "f64",
    native.Char: "char", native.String: "string", native.OwnType: "own", native.BorrowType: "borrow",
}  # fmt: skip


def functions(component: native.Component, engine: Engine, *, exported: bool) -> dict[str, dict[str, str]]:
    """By interface, the functions a component exports or imports and their signatures. Functions outside of interfaces
    are under ""."""
    kind = component.type
    items = kind.exports(engine) if exported else kind.imports(engine)
    found: dict[str, dict[str, str]] = {}
    for name, item in items.items():
        described = item.ty
        if isinstance(described, native.FuncType):
            found.setdefault("", {})[name] = signature(described)
        elif isinstance(described, native.ComponentInstanceType):
            inner = {part: extern.ty for part, extern in described.exports(engine).items()}
            found[name] = {part: signature(ty) for part, ty in inner.items() if isinstance(ty, native.FuncType)}
    return found


def signature(function: native.FuncType) -> str:
    budget = iter(range(_PARTS_MAX))
    parameters = ", ".join(_text(ty, budget) for _, ty in function.params)
    result = function.result
    return f"({parameters})" + (f" -> {_text(result, budget)}" if result is not None else "")


def _text(ty: native.ValType | None, budget: Iterator[int]) -> str:
    if next(budget, None) is None:
        return "…"
    if ty is None:
        return "_"
    plain = _PLAIN.get(type(ty))
    return plain if plain is not None else _compound(ty, budget)


def _compound(ty: native.ValType, budget: Iterator[int]) -> str:
    match ty:
        case native.ListType():
            return f"list<{_text(ty.element, budget)}>"
        case native.OptionType():
            return f"option<{_text(ty.payload, budget)}>"
        case native.ResultType():
            return f"result<{_text(ty.ok, budget)}, {_text(ty.err, budget)}>"
        case native.TupleType():
            return f"tuple<{', '.join(_text(part, budget) for part in ty.elements)}>"
        case native.RecordType():
            return f"record {{{', '.join(f'{name}: {_text(part, budget)}' for name, part in ty.fields)}}}"
        case native.VariantType():
            return f"variant {{{', '.join(_case(name, part, budget) for name, part in ty.cases)}}}"
        case native.EnumType():
            return f"enum {{{', '.join(ty.names)}}}"
    return type(ty).__name__.removesuffix("Type").lower()


def _case(name: str, ty: native.ValType | None, budget: Iterator[int]) -> str:
    return name if ty is None else f"{name}({_text(ty, budget)})"
