"""A configuration as AIO holds it: JSON in a text, read into its model."""

from __future__ import annotations

import json
from typing import Any, TypeVar

from flowrt.options import Options
from flowrt.values import Struct

Model = TypeVar("Model", bound=Options)
TEXT_MAX = 2**20
"""Characters; a graph file may have four times as many bytes."""


class TextMistake(Struct, frozen=True):
    """Something wrong in a JSON text."""

    message: str
    offset: int = 0
    """Where the text is no JSON, in characters from 0."""
    loc: tuple[str | int, ...] = ()
    """What in the JSON does not fit, as keys and indices."""


class TextError(ValueError):
    """A text is no such configuration."""

    def __init__(self, mistakes: list[TextMistake]) -> None:
        super().__init__("; ".join(mistake.message for mistake in mistakes))
        self.mistakes = mistakes


def from_json(text: str, model: type[Model]) -> Model:
    """The configuration in a JSON text. Raises `TextError` with everything that is wrong with it."""
    if len(text) > TEXT_MAX:
        raise TextError([TextMistake(f"the text has {len(text)} characters; it may have {TEXT_MAX}")])
    try:
        found = json.loads(text, object_pairs_hook=_without_duplicates)
    except json.JSONDecodeError as error:
        raise TextError([TextMistake(f"this is not JSON: {error.msg[:1].lower()}{error.msg[1:]}", error.pos)]) from None
    except RecursionError:
        raise TextError([TextMistake("the JSON is nested too deeply")]) from None
    except ValueError as error:
        raise TextError([TextMistake(str(error))]) from None
    from pydantic import ValidationError  # a start with a file that was read before may need none of it

    try:
        return model.model_validate(found, by_alias=True, by_name=False)
    except ValidationError as error:
        raise TextError([_mistake(details) for details in error.errors(include_url=False)]) from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key '{key}' stands twice in one JSON object; remove one")
        found[key] = value
    return found


def _mistake(details: Any) -> TextMistake:
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in details["loc"]).lstrip(".")
    kinds = {"extra_forbidden": "there is no such field", "missing": "the field is missing"}
    words = kinds.get(details["type"], f"{details['msg'][:1].lower()}{details['msg'][1:]}")
    return TextMistake(f"{where or 'the JSON'}: {words}", loc=tuple(details["loc"]))
