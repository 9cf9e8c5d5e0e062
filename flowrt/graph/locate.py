"""A pydantic error as a problem: where it stands in the file, in words that name the node, what was found, the
remedy."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from flowrt.graph.model import GraphFile
from flowrt.graph.owner import THE_GRAPH, owner
from flowrt.graph.tree import Mapping, Mark, Node, Scalar, Sequence, child, describe
from flowrt.options import Options
from flowrt.options.validation import model_of
from flowrt.problem import Problem, nearest
from flowrt.quota.quantity import format_bytes, parse_bytes, parse_cores, parse_seconds

_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}
_UNITS: dict[object, Callable[[Any], str]] = {
    parse_bytes: format_bytes,
    parse_seconds: "{:g}s".format,
    parse_cores: "{:g} cores".format,
}
_PATTERNS = {"^[0-9a-f]{64}$": "write the file's SHA-256 as 64 hexadecimal digits, a to f in lower case"}
_WANTED = {
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}
_PRIMITIVE = {"str", "int", "float", "bool"}


def problems_of(error: ValidationError, root: Mapping, path: str, model: type[Options] = GraphFile) -> list[Problem]:
    """Every mistake pydantic found in a file of that model, each once, without those that only follow from an unset
    variable."""
    mistakes = [_Mistake(details, root, path, model) for details in error.errors(include_url=False)]
    fitting = [mistake for mistake in mistakes if mistake.tag_fits]
    # Of a value that may be text or a mapping and is neither, every alternative complains: one answer for all.
    strays = [mistake for mistake in mistakes if not any(mistake.within(other) for other in fitting)]
    alternatives: dict[tuple[str | int, ...], list[_Mistake]] = {}
    for mistake in strays:
        alternatives.setdefault(mistake.loc, []).append(mistake)
    found = [mistake.problem() for mistake in fitting if not mistake.follows]
    return found + [group[0].neither(group) for group in alternatives.values() if not group[0].follows]


def nulls_of(error: ValidationError, root: Mapping) -> list[tuple[str | int, ...]]:
    """Where a field is null that does not take null: AIO means "not set" by it."""
    found = []
    for details in error.errors(include_url=False, include_context=False):
        steps = Steps(details["loc"], root)
        node, refused = steps.node, details["type"] in {"extra_forbidden", "missing"}
        if isinstance(node, Scalar) and node.value is None and not refused and isinstance(steps.walked[-1], str):
            found.append(steps.walked)
    return list(dict.fromkeys(found))


class Steps:
    """A pydantic location walked through the tree and through the models. Parts that are tags of a union stand in
    neither; `loc` drops them."""

    def __init__(self, loc: tuple[str | int, ...], root: Mapping, model: type[Options] = GraphFile) -> None:
        self.node: Node = root
        self.walked: tuple[str | int, ...] = ()
        self.key_mark: Mark = root.mark
        self.models: tuple[type[BaseModel], ...] = (model_of(model),)
        self.field: FieldInfo | None = None
        self.stray: str | None = None
        """The last part, where the tree does not hold it."""
        self.tag_fits = True
        for position, part in enumerate(loc):
            self._step(part, last=position == len(loc) - 1)

    def _step(self, part: str | int, *, last: bool) -> None:
        found = child(self.node, part)
        known = self._field(part)
        if known is None and ((found is None and not last) or (found is not None and self._is_tag(part))):
            self._tag(str(part))
            return
        if found is None:
            if known is None and (part in _PRIMITIVE or isinstance(self.node, (Scalar, Sequence))):
                self._tag(str(part))
            else:
                self.stray = str(part)
            return
        if isinstance(self.node, Mapping) and isinstance(part, str):
            self.key_mark = self.node.entries[part].mark
        else:
            self.key_mark = found.mark
        self.walked += (part,)
        self.node = found
        if isinstance(part, str):
            if known is not None:
                self.field = known
                self.models = tuple(_models_in(known.annotation))
            elif self.field is not None:
                self.field = None

    def _field(self, part: str | int) -> FieldInfo | None:
        for model in self.models:
            for name, info in model.model_fields.items():
                if (info.alias or name) == part:
                    return info
        return None

    def _is_tag(self, part: str | int) -> bool:
        """Whether the part tells which of several models is meant, though a field that is none has the same name."""
        return len(self.models) > 1 and any(part in _tags(model) for model in self.models)

    def _tag(self, tag: str) -> None:
        if tag in _PRIMITIVE:
            self.tag_fits = isinstance(self.node, Scalar)
            return
        chosen = tuple(model for model in self.models if tag == model.__name__ or tag in _tags(model))
        if chosen:
            self.models = chosen
            self.tag_fits = self.tag_fits and isinstance(self.node, Mapping)

    def known(self) -> list[str]:
        """Names of the fields that may stand here."""
        return [info.alias or name for model in self.models for name, info in model.model_fields.items()]


class _Mistake:
    """One error of pydantic's."""

    def __init__(self, details: ErrorDetails, root: Mapping, path: str, model: type[Options]) -> None:
        self._details = details
        self._path = path
        self._kind = details["type"]
        self._context: dict[str, Any] = details.get("ctx", {})
        self._steps = Steps(details["loc"], root, model)
        self._owner, self._node = owner(root, self._steps.walked)
        self.loc = self._steps.walked
        self.tag_fits = self._steps.tag_fits
        self.follows = isinstance(self._steps.node, Scalar) and self._steps.node.unset
        """It only follows from an unset variable."""

    def within(self, other: _Mistake) -> bool:
        """Whether the other is about the same value or a part of it."""
        return other.loc[: len(self.loc)] == self.loc

    def problem(self) -> Problem:
        code, message = self._words()
        return self._problem(code, message)

    def neither(self, alternatives: Iterable[_Mistake]) -> Problem:
        """The value is none of the kinds that its alternatives want."""
        wanted = dict.fromkeys(_WANTED[other._kind] for other in alternatives if other._kind in _WANTED)
        return self._problem("wrong-type", f"{self._label} is {self._found}, and it takes {' or '.join(wanted)}")

    def _problem(self, code: str, message: str) -> Problem:
        mark = self._steps.key_mark if self._kind == "extra_forbidden" else self._steps.node.mark
        text = message if self._owner == THE_GRAPH else f"{self._owner}: {message}"
        return Problem(mark.path or self._path, mark.line, mark.column, code, text, self._node)

    @property
    def _label(self) -> str:
        return self._own or "this entry"

    @property
    def _own(self) -> str:
        """The field as its user knows it, without the part that names its owner."""
        parts = self._steps.walked
        own = parts[2:] if len(parts) > 1 and isinstance(parts[1], int) else parts
        return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in own).lstrip(".")

    @property
    def _found(self) -> str:
        return "the value" if self._secret else describe(self._steps.node)

    @property
    def _secret(self) -> bool:
        return self._steps.field is not None and _is_secret(self._steps.field)

    def _words(self) -> tuple[str, str]:
        kind, label, found = self._kind, self._label, self._found
        if kind == "extra_forbidden":
            return "unknown-field", self._unknown()
        if kind == "missing":
            parts = [part for part in (self._own, self._steps.stray) if part]
            return "missing-field", f"'{'.'.join(parts)}' is missing; add it"
        if kind == "union_tag_not_found":
            return "missing-field", "'operationType' is missing; add it"
        if kind == "union_tag_invalid":
            return self._unknown_operation()
        if label == "from.arm":
            return self._arm()
        if kind in _BOUNDS:
            return "out-of-range", f"{label} is {found} and must be {self._bound()}"
        if kind in _WANTED:
            return "wrong-type", self._wrong_type(_WANTED[kind])
        if kind == "literal_error":
            return "wrong-value", f"{label} is {found}; write {self._context['expected']}{self._near_literal()}"
        return "wrong-value", f"{label}: {self._reason()}"

    def _unknown(self) -> str:
        stray, known = str(self._steps.walked[-1]), self._steps.known()
        near = nearest(stray, known)
        remedy = near or f"; remove it, or use one of {', '.join(sorted(set(known)))}"
        return f"there is no field '{stray}'{remedy}"

    def _unknown_operation(self) -> tuple[str, str]:
        tag = str(self._context.get("tag", ""))
        expected = [word.strip().strip("'") for word in str(self._context["expected_tags"]).split(",")]
        node = child(self._steps.node, "operationType")
        if node is not None:
            self._steps.node = node
        found = describe(node) if node is not None else f"'{tag}'"
        remedy = nearest(tag, expected) or f"; use one of {', '.join(expected)}"
        return "unknown-operation-type", f"operationType is {found}{remedy}"

    def _arm(self) -> tuple[str, str]:
        node = self._steps.node
        if isinstance(node, Scalar) and isinstance(node.value, bool):
            return "arm-not-text", f'arm is {self._found}, and an arm is text; quote it: arm: "{node.value}"'
        return "wrong-value", f'arm is {self._found}; write "True" or "False", with quotes'

    def _wrong_type(self, wanted: str) -> str:
        node = self._steps.node
        if wanted == "text" and isinstance(node, Scalar) and node.value is not None and not self._secret:
            return f'{self._label} is {self._found}, and it takes text; quote it: "{node.text}"'
        return f"{self._label} is {self._found}, and it takes {wanted}"

    def _near_literal(self) -> str:
        node = self._steps.node
        known = [word.strip("' ") for word in str(self._context["expected"]).replace(" or ", ",").split(",")]
        if not isinstance(node, Scalar) or self._secret:
            return ""
        return f', with quotes: "{node.text}"' if node.text in known else nearest(node.text, known)

    def _bound(self) -> str:
        name, bound = next(
            iter((key, value) for key, value in self._context.items() if key in {"gt", "ge", "lt", "le"})
        )
        unit = _UNITS.get(_parser(self._steps.field), str)
        return _BOUNDS[self._kind].format(**{name: unit(bound)})

    def _reason(self) -> str:
        """Pydantic's words or a validator's, without a value that must not be shown."""
        node = self._steps.node
        words = str(self._context["error"]) if "error" in self._context else self._details["msg"]
        words = words[:1].lower() + words[1:]
        if self._kind == "string_pattern_mismatch":
            words = _PATTERNS.get(str(self._context["pattern"]), words)
        if self._secret:
            return "the value cannot be used"
        if isinstance(node, Scalar):
            if node.filled and str(node.value):
                return words.replace(str(node.value), node.text)
            if "error" not in self._context:
                return f"{self._found}: {words}"
        return words


def _parser(info: FieldInfo | None) -> object:
    """The function that reads a quantity, where the field is one."""
    found = [] if info is None else [*info.metadata, *_metadata(info.annotation)]
    return next((item.func for item in found if isinstance(item, BeforeValidator)), None)


def _metadata(annotation: Any) -> Iterator[Any]:
    yield from getattr(annotation, "__metadata__", ())
    for argument in get_args(annotation):
        yield from _metadata(argument)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in {Union, types.UnionType, Annotated, tuple, list, dict}:
        for argument in get_args(annotation):
            yield from _models_in(argument)


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    info = model.model_fields.get("operation_type")
    return get_args(info.annotation) if info is not None and get_origin(info.annotation) is Literal else ()


def _is_secret(info: FieldInfo) -> bool:
    extra = info.json_schema_extra
    return (
        info.annotation is SecretStr
        or SecretStr in get_args(info.annotation)
        or (isinstance(extra, dict) and bool(extra.get("writeOnly")))
    )
