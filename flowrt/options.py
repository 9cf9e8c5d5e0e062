"""The one base class of everything users write in YAML."""

from __future__ import annotations

import ast
import inspect
import os
import textwrap
from itertools import pairwise
from typing import Self

# Looking for its plugins, pydantic reads the metadata of every installed distribution at every start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Options(BaseModel):
    """camelCase in YAML, snake_case in code; unknown options are mistakes; the text under a field documents it."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=to_camel,
        populate_by_name=True,
        protected_namespaces=(),
        defer_build=True,  # most models are only ever validated as a part of the whole file
    )

    @classmethod
    def by_default(cls) -> Self:
        """What it is when nothing is written. No validator is built for that, as a call would do while the program
        starts: defaults are right by themselves."""
        return cls.model_construct()  # type: ignore[return-value]  # pydantic types it as this base


def descriptions(model: type[Options]) -> dict[str, str]:
    """The text under each field, by the field's name in code; inherited fields too. It reads source files, which a
    program that runs graphs has no time for: pydantic would do it whenever it starts."""
    found = {name: field.description for name, field in model.model_fields.items() if field.description}
    for base in model.__mro__:
        if issubclass(base, Options) and base is not Options:
            found = _written(base) | found
    return found


def _written(model: type[Options]) -> dict[str, str]:
    try:
        source = inspect.getsource(model)
    except (OSError, TypeError):  # made by a program
        return {}
    definition = next(node for node in ast.walk(ast.parse(textwrap.dedent(source))) if isinstance(node, ast.ClassDef))
    return {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }
