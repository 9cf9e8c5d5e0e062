"""JSON Schema: whether a document is what a schema describes. Through jsonschema-rs, an optional package.

Patterns run on a linear engine, because texts come from outside; nothing is fetched from elsewhere.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from flowrt.formats.base import SchemaError
from flowrt.formats.extras import library

DEPTH_MAX = 200
"""Levels of a document that is validated: the engine's recursion has no bound of its own."""
_DRAFTS = {
    "draft-04": "Draft4Validator",
    "draft-06": "Draft6Validator",
    "draft-07": "Draft7Validator",
    "2019-09": "Draft201909Validator",
    "2020-12": "Draft202012Validator",
}
"""What a schema's `format` may end in, as in `JsonSchema/draft-07`."""


def conforms(text: str, format_: str) -> Callable[[Any], bool]:
    """Tells documents that fit a schema. `format_` is `JsonSchema/draft-07` or one of the other drafts.

    Raises `SchemaError` for a text that is no such schema, and `MissingExtra` without jsonschema-rs. What it gives
    raises `RecursionError` for a document of more than `DEPTH_MAX` levels.
    """
    draft = format_.rpartition("/")[2].lower()
    if draft not in _DRAFTS:
        raise SchemaError(f"its format is '{format_}'; write JsonSchema/ and one of {', '.join(_DRAFTS)}")
    schema = _parsed(text)
    engine = library("jsonschema_rs")
    try:
        validator = getattr(engine, _DRAFTS[draft])(
            schema, pattern_options=engine.RegexOptions(), retriever=_refused, validate_formats=False
        )
    except (engine.ValidationError, engine.ReferencingError, ValueError) as error:
        words = getattr(error, "message", str(error))
        where = "".join(f"/{part}" for part in getattr(error, "instance_path", ()))
        raise SchemaError(f"{words}{f', at {where}' if where else ''}") from None

    def fits(document: Any) -> bool:
        if _deeper_than(document, DEPTH_MAX):
            raise RecursionError
        return bool(validator.is_valid(document))

    return fits


def _deeper_than(value: Any, levels: int) -> bool:
    kind = type(value)
    if kind is not dict and kind is not list:
        return False
    if levels == 0:
        return True
    inside = value.values() if kind is dict else value
    return any(_deeper_than(inner, levels - 1) for inner in inside if type(inner) in (dict, list))


def _parsed(text: str) -> Any:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"it is not JSON: {error}") from None
    if not isinstance(schema, (dict, bool)):
        raise SchemaError("it has to be a JSON object")
    return schema


def _refused(address: str) -> NoReturn:
    raise ValueError(f"nothing is fetched from {address}; write it into `definitions`")
