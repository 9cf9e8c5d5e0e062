"""`docs/configuration.md`: the graph file, from the models that parse it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt, MaxLen
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from flowrt.endpoints.registry import ENDPOINTS
from flowrt.graph.model import GraphFile
from flowrt.operators.base import Operation
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.registry import OPERATIONS
from flowrt.options import Options
from flowrt.options.descriptions import descriptions
from flowrt.options.validation import Model as Parsed
from flowrt.options.validation import model_of
from flowrt.quota.quantity import format_bytes, parse_bytes, parse_cores, parse_seconds
from flowrt.reference.markdown import code, either, flowing, table

_INTRODUCTION = """\
# The graph file

Every field, from the same models that parse it and that `flowrt schema` prints as JSON Schema. Sizes are written as
`16Mi` or `500k`, shares of a core as `250m`, durations as `20ms` or `1h`. `${NAME}` and `${NAME:-default}` anywhere in
a value take the variable from `--set` or the environment. [problems.md](problems.md) lists what `flowrt check` finds.
"""

_WORDS = {
    str: "text",
    int: "integer",
    float: "number",
    bool: "`true` or `false`",
    Path: "path",
    Any: "anything",
    NoneType: "null",
}
_QUANTITIES: dict[Callable[[object], float], str] = {
    parse_bytes: "size",
    parse_cores: "cores",
    parse_seconds: "duration",
}
_BOUNDS = {Ge: ("ge", "from"), Gt: ("gt", "above"), Le: ("le", "to"), Lt: ("lt", "below")}

Model = type[Options]


def configuration() -> str:
    parts = [
        _INTRODUCTION,
        section("The file", flowing(GraphFile.__doc__), GraphFile),
        section("Every operation", flowing(Operation.__doc__), Operation),
        section("Operations with a module", flowing(GuestOperation.__doc__), GuestOperation, beside=Operation),
        *(_operation(name, model) for name, model in OPERATIONS.items()),
        *(section(f"Endpoint `{kind}`", flowing(model.__doc__), model) for kind, model in ENDPOINTS.items()),
    ]
    shown = {GraphFile, Operation, GuestOperation, *OPERATIONS.values(), *ENDPOINTS.values()}
    others = [model for model in _models(GraphFile, set()) if model not in shown]
    parts.extend(section(_title(model), flowing(model.__doc__), model) for model in others)
    return "\n".join(parts)


def _operation(name: str, model: type[Operation]) -> str:
    """Its own fields; the text is the one at the top of the operator's file."""
    text = inspect.cleandoc(sys.modules[model.__module__].__doc__ or "")
    beside = next(base for base in (GuestOperation, Operation) if issubclass(model, base))
    others = "operations with a module take" if beside is GuestOperation else "every operation takes"
    return section(f"`{name}`", f"{text}\n\nBeside what [{others}](#{_anchor(beside)}):", model, beside=beside)


def section(title: str, text: str, model: Model, *, beside: Model | None = None) -> str:
    """A model's table of fields, without those of `beside`, which stand in a section of their own."""
    known = model_of(beside).model_fields if beside else {}
    texts = descriptions(model)
    rows = [
        (code(field.alias or name), _type(field), _default(field), texts.get(name, ""))
        for name, field in model_of(model).model_fields.items()
        if name not in known
    ]
    body = table(("Field", "Type", "Default", "Meaning"), rows)
    return f'<a id="{_anchor(model)}"></a>\n\n## {title}\n\n{text}\n\n{body}'


def _models(model: Model, seen: set[Model]) -> Iterator[Model]:
    """A model and all that its fields lead to, each once, in the order in which they are met."""
    if model in seen:
        return
    seen.add(model)
    yield model
    for field in model_of(model).model_fields.values():
        for found in _inside(field.annotation):
            yield from _models(found, seen)


def _inside(annotation: Any) -> Iterator[Model]:
    if isinstance(annotation, type) and issubclass(annotation, Parsed):
        yield annotation.declared
    for argument in get_args(annotation):
        yield from _inside(argument)


def _type(field: FieldInfo) -> str:
    kind = _quantity(field)
    return ", ".join(filter(None, [kind or _words(field.annotation), " ".join(_bounds(field, kind))]))


def _words(annotation: Any) -> str:
    """A type in words, models as links."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _words(arguments[0])
    if origin is Literal:
        return either([code(value) for value in arguments])
    if origin in (Union, UnionType):
        kinds = [argument for argument in arguments if argument is not NoneType]
        if all(isinstance(kind, type) and issubclass(kind, model_of(Operation)) for kind in kinds):
            return "[operation](#operation)"
        return either([_words(kind) for kind in kinds])
    if origin is tuple:
        return f"list of {_words(arguments[0])}"
    if origin is dict:
        return f"mapping of names to {_words(arguments[1])}"
    if isinstance(annotation, type) and issubclass(annotation, Parsed):
        return f"[{_title(annotation.declared)}](#{_anchor(annotation.declared)})"
    return _WORDS[annotation]


def _quantity(field: FieldInfo) -> str:
    """`size`, `cores` or `duration` where the field is written as such."""
    marks = [*field.metadata, *(mark for argument in get_args(field.annotation) for mark in get_args(argument)[1:])]
    parsers = [mark.func for mark in marks if isinstance(mark, BeforeValidator)]
    return next((kind for parser, kind in _QUANTITIES.items() if parser in parsers), "")


def _bounds(field: FieldInfo, kind: str) -> Iterator[str]:
    for mark in field.metadata:
        if isinstance(mark, MaxLen):
            yield f"at most {mark.max_length} {'entries' if get_origin(field.annotation) is tuple else 'characters'}"
        elif bound := _BOUNDS.get(type(mark)):
            attribute, word = bound
            yield f"{word} {_value(getattr(mark, attribute), kind)}"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True) if field.default is PydanticUndefined else field.default
    if value is None or isinstance(value, Parsed) or value in ((), {}):
        return ""
    return code(_value(value, _quantity(field)))


def _value(value: Any, kind: str) -> str:
    if kind == "size":
        return format_bytes(value)
    if kind == "duration":
        return _duration(value)
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if value != "" else '""'


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("s", 1), ("ms", 1e-3)):
        if seconds >= size and (seconds / size).is_integer():
            return f"{seconds / size:.0f}{unit}"
    return f"{seconds:g}s" if seconds else "0"


def _title(model: Model) -> str:
    return next((f"`{kind}`" for kind, options in ENDPOINTS.items() if options is model), model.__name__)


def _anchor(model: Model) -> str:
    return model.__name__.lower()
