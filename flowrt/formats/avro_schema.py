"""An Avro schema as flowrt takes it: without what a hostile message could use, and what JSON becomes by it.

A reader follows the schema, so a schema that contains itself lets a message nest as deeply as it likes, and an array of
what takes no bytes lets one be as long as a number can be.
"""

from __future__ import annotations

import base64
import decimal
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from flowrt.formats.base import SchemaError

Coercion = Callable[[Any], Any]
_TIMES = (
    "date", "time-millis", "time-micros", "timestamp-millis", "timestamp-micros", "timestamp-nanos",
    "local-timestamp-millis", "local-timestamp-micros", "local-timestamp-nanos",
)  # fmt: skip
_SIZES = {"null": 0, "float": 4, "double": 8}
_PYTHON: dict[str, tuple[type, ...]] = {
    "null": (type(None),), "boolean": (bool,), "int": (int,), "long": (int,), "float": (int, float),
    "double": (int, float), "string": (str,), "bytes": (str,), "fixed": (str,), "enum": (str,),
    "record": (dict,), "map": (dict,), "array": (list,),
}  # fmt: skip
"""What a type's values are in JSON."""
Names = Mapping[str, Any]


def sound(schema: Any) -> Any:
    """The schema without times' logical types. Raises `SchemaError` for one that a message could misuse."""
    return _Walk().schema(schema, "", ())


class _Walk:
    """Looks at every part of a schema."""

    def __init__(self) -> None:
        self._names: dict[str, Any] = {}

    def schema(self, schema: Any, space: str, inside: tuple[str, ...]) -> Any:
        if isinstance(schema, str):
            self._within(_full(schema, space), inside)
            return schema
        if isinstance(schema, list):
            return [self.schema(branch, space, inside) for branch in schema]
        if not isinstance(schema, dict) or "type" not in schema:
            raise SchemaError("it is no Avro schema: a type is a name, a list or an object with `type`")
        return self._described(dict(schema), space, inside)

    def _described(self, made: dict[str, Any], space: str, inside: tuple[str, ...]) -> Any:
        if made.get("logicalType") in _TIMES:
            del made["logicalType"]
        if isinstance(made["type"], (dict, list)):
            return made | {"type": self.schema(made["type"], space, inside)}
        if "name" in made:
            name = _full(str(made["name"]), str(made.get("namespace", space)))
            space, inside = name.rpartition(".")[0], (*inside, name)
            self._names[name] = made
        if made["type"] in ("record", "error"):
            self._fields(made, space, inside)
        for key in ("items", "values"):
            if key in made:
                made[key] = self.schema(made[key], space, inside)
        if made["type"] == "array" and self._least(made.get("items"), space) == 0:
            raise SchemaError("an array's items take no bytes, so that a message could name millions in a few bytes")
        return made

    def _fields(self, record: dict[str, Any], space: str, inside: tuple[str, ...]) -> None:
        fields = record.get("fields")
        if not isinstance(fields, list) or not all(isinstance(each, dict) and "type" in each for each in fields):
            raise SchemaError("it is no Avro schema: a record has a list of `fields`, each with a `type`")
        record["fields"] = [{**each, "type": self.schema(each["type"], space, inside)} for each in fields]

    @staticmethod
    def _within(name: str, inside: tuple[str, ...]) -> None:
        if name in inside:
            raise SchemaError(f"'{name}' contains itself, so that a message could nest as deeply as it likes")

    def _least(self, schema: Any, space: str) -> int:
        """The fewest bytes that a value takes."""
        if isinstance(schema, str):
            named = self._names.get(_full(schema, space))
            return _SIZES.get(schema, 1) if named is None else self._least(named, space)
        if not isinstance(schema, dict):
            return 1
        if isinstance(schema["type"], (dict, list)):
            return self._least(schema["type"], space)
        if schema["type"] == "fixed":
            return int(schema.get("size", 0))
        if schema["type"] == "record":
            return sum(self._least(each["type"], space) for each in schema["fields"])
        return _SIZES.get(schema["type"], 1)


def _full(name: str, space: str) -> str:
    return name if "." in name or not space else f"{space}.{name}"


def coercion(schema: Any, *, hexadecimal: bool) -> Coercion:
    """What makes of a JSON value what an Avro writer takes: bytes of text, decimals of numbers."""
    return _Coercions(hexadecimal=hexadecimal).of(schema, "")


class _Coercions:
    def __init__(self, *, hexadecimal: bool) -> None:
        self._bytes: Coercion = bytes.fromhex if hexadecimal else _from_base64
        self._known: dict[str, tuple[str, Coercion]] = {}
        """By full name: the kind of type and what makes it."""

    def of(self, schema: Any, space: str) -> Coercion:
        return self._kind(schema, space)[1]

    def _kind(self, schema: Any, space: str) -> tuple[str, Coercion]:
        if isinstance(schema, str):
            plain = ("bytes", self._bytes) if schema == "bytes" else (schema, _same)
            return self._known.get(_full(schema, space), plain)
        if isinstance(schema, list):
            return "union", self._union([self._kind(branch, space) for branch in schema])
        type_ = schema["type"]
        if isinstance(type_, (dict, list)):
            return self._kind(type_, space)
        if "name" in schema:
            name = _full(str(schema["name"]), str(schema.get("namespace", space)))
            found = self._made(type_, schema, name.rpartition(".")[0])
            self._known[name] = found
            return found
        return self._made(type_, schema, space)

    def _made(self, type_: str, schema: dict[str, Any], space: str) -> tuple[str, Coercion]:
        if schema.get("logicalType") == "decimal":
            return "double", _decimal(int(schema.get("scale", 0)))
        if type_ in ("bytes", "fixed"):
            return type_, self._bytes
        if type_ == "record":
            fields = {each["name"]: self.of(each["type"], space) for each in schema["fields"]}
            return type_, partial(_record, fields=fields, defaults=_defaults(schema["fields"]))
        if type_ == "array":
            item = self.of(schema["items"], space)
            return type_, lambda value: [item(each) for each in value] if type(value) is list else _refuse(value)
        if type_ == "map":
            inner = self.of(schema["values"], space)
            return type_, lambda value: {key: inner(each) for key, each in _object(value).items()}
        return self._kind(type_, space) if type_ not in _PYTHON else (type_, _same)

    @staticmethod
    def _union(branches: list[tuple[str, Coercion]]) -> Coercion:
        def coerced(value: Any) -> Any:
            for kind, make in branches:
                if type(value) in _PYTHON.get(kind, ()):
                    try:
                        return make(value)
                    except (ValueError, TypeError):
                        continue
            raise TypeError(f"{value!r:.60} fits no branch of a union")

        return coerced


def _same(value: Any) -> Any:
    return value


def _from_base64(value: Any) -> bytes:
    return base64.b64decode(value, validate=True)


def _decimal(scale: int) -> Coercion:
    step = decimal.Decimal(1).scaleb(-scale)
    return lambda value: decimal.Decimal(str(value)).quantize(step)


def _object(value: Any) -> dict[str, Any]:
    return value if type(value) is dict else _refuse(value)


def _defaults(fields: list[dict[str, Any]]) -> dict[str, bytes]:
    """Those of bytes, which a schema writes as text of one character a byte; a writer knows the others."""
    kinds = {each["name"]: each["type"]["type"] if isinstance(each["type"], dict) else each["type"] for each in fields}
    return {
        each["name"]: each["default"].encode("latin-1")
        for each in fields
        if isinstance(each.get("default"), str) and kinds[each["name"]] in ("bytes", "fixed")
    }


def _record(value: Any, *, fields: Mapping[str, Coercion], defaults: Mapping[str, bytes]) -> dict[str, Any]:
    found = _object(value)
    if unknown := found.keys() - fields.keys():
        raise TypeError(f"the record has no field '{min(unknown)}'")
    return {**defaults, **{key: make(found[key]) for key, make in fields.items() if key in found}}


def _refuse(value: Any) -> Any:
    raise TypeError(f"{value!r:.60} is not what the schema says")
