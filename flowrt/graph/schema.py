"""The JSON Schema of the graph file, from the models that parse it."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from flowrt.graph.model import GraphFile
from flowrt.options.descriptions import descriptions
from flowrt.options.validation import Model, model_of


class _Documented(GenerateJsonSchema):
    """With the text under each field, which pydantic does not see."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        made, model = super().model_schema(schema), schema["cls"]
        if issubclass(model, Model):
            texts = descriptions(model.declared)
            for name, field in model.model_fields.items():
                if name in texts:
                    made["properties"][field.alias or name]["description"] = texts[name]
        return made


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12, for editors and for `flowrt schema`."""
    schema = _open_to_variables(model_of(GraphFile).model_json_schema(by_alias=True, schema_generator=_Documented))
    schema["$defs"]["Variable"] = {"type": "string", "pattern": r"\$\{", "description": "Filled in: `${NAME}`"}
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "flowrt graph"}


def _open_to_variables(schema: dict[str, Any]) -> dict[str, Any]:
    """A file is read after its variables are filled in, but an editor sees `${PORT:-1883}` where a number belongs."""
    made = {key: _part(key, value) for key, value in schema.items()}
    if not _is_narrow(schema):
        return made
    about: dict[str, Any] = {key: made.pop(key) for key in ("default", "description", "title") if key in made}
    return {**about, "anyOf": [made, {"$ref": "#/$defs/Variable"}]}


def _part(key: str, value: Any) -> Any:
    if key in {"properties", "$defs"}:
        return {name: part if name == "operationType" else _open_to_variables(part) for name, part in value.items()}
    if key in {"anyOf", "oneOf", "allOf", "prefixItems"}:
        return [_open_to_variables(part) for part in value]
    return _open_to_variables(value) if key in {"items", "additionalProperties"} and isinstance(value, dict) else value


def _is_narrow(schema: dict[str, Any]) -> bool:
    """Whether it takes single values, but not every text."""
    given = schema.get("type", ())
    kinds = {given} if isinstance(given, str) else set(given)
    if "enum" in schema or "const" in schema:
        return True
    if "string" in kinds:
        return not {"pattern", "maxLength", "format"}.isdisjoint(schema)
    return not kinds.isdisjoint({"integer", "number", "boolean"})
