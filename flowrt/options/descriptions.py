"""What is said of each option, from the text under it in its class. It reads source files, which a program that runs
graphs has no time for."""

from __future__ import annotations

import ast
import inspect
import textwrap
from itertools import pairwise
from typing import Any

from flowrt.options.declared import Field, Options, own_fields


def descriptions(declared: type[Options]) -> dict[str, str]:
    """The text under each field, by the field's name in code; inherited fields too."""
    found: dict[str, str] = {}
    for base in declared.__mro__:
        if issubclass(base, Options) and base is not Options:
            found = _written(base) | found
    return found


def _written(model: type[Options]) -> dict[str, str]:
    said = {name: field.named["description"] for name, field in own_fields(model).items() if _described(field)}
    try:
        source = inspect.getsource(model)
    except (OSError, TypeError):  # made by a program
        return said
    definition = next(node for node in ast.walk(ast.parse(textwrap.dedent(source))) if isinstance(node, ast.ClassDef))
    return said | {
        field.target.id: inspect.cleandoc(text.value.value)
        for field, text in pairwise(definition.body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _described(field: Any) -> bool:
    return isinstance(field, Field) and bool(field.named.get("description"))  # type: ignore[arg-type]
