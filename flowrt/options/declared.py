"""The one base class of everything users write in YAML.

Its classes are declared as pydantic's models are, and are what a type checker takes them for. They are made into such
models when something is validated (`validation.py` beside this), and not before: making models is a third of a
start, and a gateway that starts with a file it has read before validates nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar

__all__ = [
    "MISSING",
    "AfterValidator",
    "BeforeValidator",
    "ConfigDict",
    "Field",
    "Options",
    "WithJsonSchema",
    "camel",
    "defaults_of",
    "having",
    "made",
    "model_validator",
    "own_fields",
    "yaml_name",
]

MISSING = object()
"""The default of a field that must be given."""

if TYPE_CHECKING:
    from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema, model_validator
    from pydantic import BaseModel as _Declaration
else:

    class _Said:
        """What a declaration says to pydantic, until it is asked."""

        def __init__(self, *given: object, **named: object) -> None:
            self.given, self.named = given, named

    class Field(_Said):
        """A field's default, other name and bounds: `pydantic.Field`."""

        def default(self) -> object:
            if "default_factory" in self.named:
                return self.named["default_factory"]()
            return self.given[0] if self.given else MISSING

    class AfterValidator(_Said):
        """`pydantic.AfterValidator`."""

    class BeforeValidator(_Said):
        """`pydantic.BeforeValidator`."""

    class WithJsonSchema(_Said):
        """`pydantic.WithJsonSchema`."""

    ConfigDict = dict

    def model_validator(*, mode: Literal["after"]) -> Callable[[Callable], Callable]:
        """`pydantic.model_validator`, of whole values."""

        def marked(function: Callable) -> Callable:
            function.validates = mode
            return function

        return marked

    class _Declaration:
        """What code uses of pydantic's models, of values that are there."""

        __slots__ = ("__dict__", "model_extra", "model_fields_set")
        model_config: ClassVar[dict[str, object]] = {}

        def __init__(self, **given: object) -> None:
            found = type(self).model_validate(given, by_name=True)
            _fill(self, found.__dict__, found.model_fields_set, found.model_extra)

        @classmethod
        def model_construct(cls, **given: object) -> Self:
            return made(cls, {**defaults_of(cls), **given}, set(given))

        @classmethod
        def model_validate(cls, given: object, **how: object) -> Self:
            from flowrt.options import validation

            return validation.validated(cls, given, **how)

        @classmethod
        def model_validate_json(cls, given: bytes | str, **how: object) -> Self:
            from flowrt.options import validation

            return validation.validated_json(cls, given, **how)

        def model_copy(self, *, update: dict[str, object]) -> Self:
            return made(type(self), {**self.__dict__, **update}, self.model_fields_set | set(update), self.model_extra)

        def model_dump(self, **how: object) -> dict[str, object]:
            from flowrt.options import validation

            return validation.modelled(self).model_dump(**how)

        def model_dump_json(self, **how: object) -> str:
            from flowrt.options import validation

            return validation.modelled(self).model_dump_json(**how)

        def __iter__(self) -> Iterator[tuple[str, object]]:
            return iter(self.__dict__.items())

        def __eq__(self, other: object) -> bool:
            if type(self) is not type(other):
                return NotImplemented
            return self.__dict__ == other.__dict__ and self.model_extra == other.model_extra

        def __hash__(self) -> int:
            return hash((type(self), frozenset(self.__dict__.items())))

        def __repr__(self) -> str:
            return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self)})"

        def __setattr__(self, name: str, _: object) -> None:
            raise AttributeError(f"{type(self).__name__}.{name} is never changed; make a copy")

        def __reduce__(self) -> tuple[object, ...]:
            return made, (type(self), self.__dict__, self.model_fields_set, self.model_extra)


def camel(name: str) -> str:
    """A field's name in YAML: `keep_alive` is `keepAlive`."""
    first, *others = name.split("_")
    return first + "".join(map(str.capitalize, others))


class Options(_Declaration):
    """camelCase in YAML, snake_case in code; unknown options are mistakes; the text under a field documents it."""

    __slots__ = ()

    @classmethod
    def by_default(cls) -> Self:
        """What it is when nothing is written."""
        return cls.model_construct()  # type: ignore[return-value]  # pydantic types it as this base


T = TypeVar("T", bound=Options)


def made(declared: type[T], values: dict[str, Any], given: set[str], extra: dict[str, Any] | None = None) -> T:
    """A value of that class, of values that are right; `given` names those that were written."""
    value = object.__new__(declared)
    _fill(value, values, given, extra)
    return value


def _fill(value: Options, values: dict[str, Any], given: set[str], extra: dict[str, Any] | None) -> None:
    value.__dict__.update(values)
    object.__setattr__(value, "model_fields_set", given)
    object.__setattr__(value, "model_extra", extra)


def having(fields: dict[str, tuple[Any, Any]]) -> Callable[[type[T]], type[T]]:
    """Gives a class further fields, each with its type and default, as where a table has them."""

    def extended(declared: type[T]) -> type[T]:
        declared.__annotations__ |= {name: kind for name, (kind, _) in fields.items()}
        for name, (_, default) in fields.items():
            setattr(declared, name, default)
        return declared

    return extended


def own_fields(declared: type[Options]) -> dict[str, Any]:
    """The fields that a class adds to those of its base, each with what was declared as its default."""
    body = declared.__dict__
    return {name: body.get(name, MISSING) for name in body.get("__annotations__", ())}


def yaml_name(name: str, default: Any) -> str:
    """What a field is called in YAML."""
    alias = default.named.get("alias") if isinstance(default, Field) else None  # type: ignore[arg-type]
    return str(alias or camel(name))


def defaults_of(declared: type[Options]) -> dict[str, Any]:
    """By field, the value it has when it is not written, of those that need not be."""
    bases = [base for base in reversed(declared.__mro__) if issubclass(base, Options)]
    fields = [field for base in bases for field in own_fields(base).items()]
    found: dict[str, Any] = {
        name: default.default() if isinstance(default, Field) else default  # type: ignore[arg-type]
        for name, default in fields
    }
    return {name: value for name, value in found.items() if value is not MISSING}
