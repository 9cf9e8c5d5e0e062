"""What users write, validated by pydantic: every mistake at once, each with its place.

For each class of options that a validation comes by, a pydantic model is made of the declaration; what it gives is
brought back as values of the class.
"""

from __future__ import annotations

import os
import types
from collections.abc import Mapping
from functools import cache, reduce
from inspect import get_annotations
from operator import or_
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin

# Looking for its plugins, pydantic reads the metadata of every installed distribution at every start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import pydantic
from pydantic import BaseModel

from flowrt import options
from flowrt.options import MISSING, Options, camel, made, own_fields

T = TypeVar("T", bound=Options)


class Model(BaseModel):
    """The base of all that is made here."""

    model_config = pydantic.ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=camel,
        populate_by_name=True,
        protected_namespaces=(),
        defer_build=True,  # most models are only ever validated as a part of the whole file
    )
    declared: ClassVar[type[Options]] = Options


def validated(declared: type[T], given: object, **how: Any) -> T:
    """Raises pydantic's `ValidationError`."""
    found: T = value_of(model_of(declared).model_validate(modelled(given), **how))
    return found


def validated_json(declared: type[T], given: bytes | str, **how: Any) -> T:
    """The same of JSON."""
    found: T = value_of(model_of(declared).model_validate_json(given, **how))
    return found


@cache
def model_of(declared: type[Options]) -> type[Model]:
    """The pydantic model of a class of options."""
    if declared is Options:
        return Model
    return _model(declared, get_annotations(declared, eval_str=True))


def narrowed(declared: type[Options], kinds: dict[str, Any]) -> type[Model]:
    """The same with other types for some of the class's own fields: `Any` leaves a field unlooked at."""
    return _model(declared, get_annotations(declared, eval_str=True) | kinds)


def _model(declared: type[Options], annotations: Mapping[str, Any]) -> type[Model]:
    base = next(base for base in declared.__mro__[1:] if issubclass(base, Options))
    fields = own_fields(declared)
    defaults = {name: _said(default) for name, default in fields.items() if default is not MISSING}
    others = {name: _part(part) for name, part in vars(declared).items() if name not in fields and name[:2] != "__"}
    about = {
        "__annotations__": {name: _typed(kind) for name, kind in annotations.items()},
        "__doc__": declared.__doc__,
        "__module__": declared.__module__,
        "__qualname__": declared.__qualname__,
        "declared": declared,
    }
    metaclass: Any = type(Model)
    model: type[Model] = metaclass(declared.__name__, (model_of(base),), {**others, **defaults, **about})
    return model


def _part(part: Any) -> Any:
    """A method or a property, or what looks at values as a whole."""
    mode = getattr(part, "validates", None)
    validator: Any = pydantic.model_validator
    return part if mode is None else validator(mode=mode)(part)


def _said(default: Any) -> Any:
    """What a declaration says, in pydantic's own objects; a default that is a value as its model's."""
    kind = type(default).__name__
    if type(default) in _SAID:
        given = [modelled(value) for value in default.given]
        return getattr(pydantic, kind)(*given, **default.named)
    return modelled(default)


_SAID: set[Any] = {options.Field, options.AfterValidator, options.BeforeValidator, options.WithJsonSchema}


def _typed(kind: Any) -> Any:
    """A field's type with models in the place of classes of options."""
    if isinstance(kind, type) and issubclass(kind, Options):
        return model_of(kind)
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return Annotated[(_typed(arguments[0]), *map(_said, arguments[1:]))]
    if origin in {Union, types.UnionType}:
        return reduce(or_, map(_typed, arguments))
    return origin[tuple(map(_typed, arguments))] if origin in {tuple, list, dict} else kind


def value_of(found: Any) -> Any:
    """What pydantic made, as values of the classes that were declared."""
    if isinstance(found, Model):
        values = {name: value_of(value) for name, value in found.__dict__.items()}
        return made(found.declared, values, found.model_fields_set, found.model_extra)
    if isinstance(found, (tuple, list)):
        return type(found)(map(value_of, found))
    if isinstance(found, dict):
        return {key: value_of(value) for key, value in found.items()}
    return found


def modelled(value: Any) -> Any:
    """The other way round."""
    if isinstance(value, Options):
        values = {name: modelled(part) for name, part in value}
        return model_of(type(value)).model_construct(value.model_fields_set, **values, **(value.model_extra or {}))
    if isinstance(value, (tuple, list)):
        return type(value)(map(modelled, value))
    if isinstance(value, dict):
        return {key: modelled(part) for key, part in value.items()}
    return value
