"""A pydantic error as a problem: where it stands in the file, in words that name the node, what was found, the
remedy."""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from flowrt.graph.model import GraphFile
from flowrt.graph.tree import Mapping, Mark, Node, Scalar, Sequence, child, describe
from flowrt.options import Options
from flowrt.problem import Problem, nearest

_BOUNDS = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}
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


def problems_of(error: ValidationError, root: Mapping, path: str) -> list[Problem]:
    """Every mistake pydantic found, each once, without those that only follow from an unset variable."""
    found = [_Mistake(details, root, path) for details in error.errors(include_url=False)]
    return [problem for mistake in found if mistake.relevant for problem in mistake.problems()]


def nulls_of(error: ValidationError, root: Mapping) -> list[tuple[str | int, ...]]:
    """Where a field is null that does not take null: AIO means "not set" by it."""
    found = []
    for details in error.errors(include_url=False, include_context=False):
        steps = Steps(details["loc"], root)
        node, refused = steps.node, details["type"] in {"extra_forbidden", "missing"}
        if isinstance(node, Scalar) and node.value is None and not refused and isinstance(steps.walked[-1], str):
            found.append(steps.walked)
    return list(dict.fromkeys(found))


def owner(root: Mapping, loc: Iterable[str | int]) -> tuple[str, str | None]:
    """What a location belongs to, in words and as a node's name: (`operation 'x'`, `x`)."""
    parts = [*loc, None, None][:2]
    section, index = parts[0], parts[1]
    item = child(root.get(str(section)) or root, index) if isinstance(index, int) else None
    if item is None:
        return "the graph", None
    if section == "connections":
        return f"connection {_name(item, 'from', 'name')} -> {_name(item, 'to', 'name')}", None
    name = _name(item, "name")
    words = {
        "operations": "operation",
        "endpoints": "endpoint",
        "models": "model",
        "modules": "module",
        "schemas": "schema",
    }
    if section == "moduleConfigurations":
        return f"configuration of {name}", name.strip("'") if name != "?" else None
    node = name[1:-1] if section in {"operations", "modules"} and name != "?" else None
    kind = words.get(str(section), str(section))
    return (f"{kind} {name}" if name != "?" else f"{kind} {index + 1} of the list"), node  # type: ignore[operator]


def _name(node: Node, *keys: str) -> str:
    for key in keys:
        found = child(node, key)
        if found is None:
            return "?"
        node = found
    return f"'{node.text}'" if isinstance(node, Scalar) and node.value is not None else "?"


class Steps:
    """A pydantic location walked through the tree and through the models. Parts that are tags of a union stand in
    neither; `loc` drops them."""

    def __init__(self, loc: tuple[str | int, ...], root: Mapping) -> None:
        self.node: Node = root
        self.walked: tuple[str | int, ...] = ()
        self.key_mark: Mark = root.mark
        self.models: tuple[type[Options], ...] = (GraphFile,)
        self.field: FieldInfo | None = None
        self.stray: str | None = None
        """The last part, where the tree does not hold it."""
        self.tag_fits = True
        for position, part in enumerate(loc):
            self._step(part, last=position == len(loc) - 1)

    def _step(self, part: str | int, *, last: bool) -> None:
        found = child(self.node, part)
        known = self._field(part)
        if found is None and known is None and not last:
            self._tag(str(part))
            return
        if found is None:
            if known is None and isinstance(self.node, (Scalar, Sequence)):
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

    def __init__(self, details: ErrorDetails, root: Mapping, path: str) -> None:
        self._details = details
        self._path = path
        self._kind = details["type"]
        self._context: dict[str, Any] = details.get("ctx", {})
        self._steps = Steps(details["loc"], root)
        self._owner, self._node = owner(root, self._steps.walked)
        unset = isinstance(self._steps.node, Scalar) and self._steps.node.unset
        self.relevant = self._steps.tag_fits and not unset

    def problems(self) -> Iterator[Problem]:
        code, message = self._words()
        mark = self._steps.key_mark if self._kind in {"extra_forbidden"} else self._steps.node.mark
        yield Problem(self._path, mark.line, mark.column, code, f"{self._owner}: {message}", self._node)

    @property
    def _label(self) -> str:
        """The field as its user knows it, without the part that names its owner."""
        parts = self._steps.walked
        own = parts[2:] if len(parts) > 1 and isinstance(parts[1], int) else parts
        words = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in own).lstrip(".")
        return words or "this entry"

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
            return "missing-field", f"'{self._steps.stray or label}' is missing; add it"
        if kind == "union_tag_not_found":
            return "missing-field", "'operationType' is missing; add it"
        if kind == "union_tag_invalid":
            return self._unknown_operation()
        if label == "from.arm":
            return self._arm()
        if kind in _BOUNDS:
            return "out-of-range", f"{label} is {found} and must be {_BOUNDS[kind].format(**self._context)}"
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
        value = self._steps.node.text if isinstance(self._steps.node, Scalar) else ""
        return nearest(
            value, [word.strip("' ") for word in str(self._context["expected"]).replace(" or ", ",").split(",")]
        )

    def _reason(self) -> str:
        """Pydantic's words or a validator's, without a value that must not be shown."""
        node = self._steps.node
        words = str(self._context["error"]) if "error" in self._context else self._details["msg"]
        words = words[:1].lower() + words[1:]
        if self._secret:
            return "the value cannot be used"
        if isinstance(node, Scalar):
            if node.filled and str(node.value):
                return words.replace(str(node.value), node.text)
            if "error" not in self._context:
                return f"{self._found}: {words}"
        return words


def _models_in(annotation: Any) -> Iterator[type[Options]]:
    """The option classes that an annotation mentions."""
    if isinstance(annotation, type) and issubclass(annotation, Options):
        yield annotation
    elif get_origin(annotation) in {Union, types.UnionType, Annotated, tuple, list, dict}:
        for argument in get_args(annotation):
            yield from _models_in(argument)


def _tags(model: type[Options]) -> tuple[Any, ...]:
    info = model.model_fields.get("operation_type")
    return get_args(info.annotation) if info is not None and get_origin(info.annotation) is Literal else ()


def _is_secret(info: FieldInfo) -> bool:
    extra = info.json_schema_extra
    return (
        info.annotation is SecretStr
        or SecretStr in get_args(info.annotation)
        or (isinstance(extra, dict) and bool(extra.get("writeOnly")))
    )
