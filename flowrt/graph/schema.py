"""The JSON Schema of the graph file, from the models that parse it."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import ModelSchema

from flowrt.graph.model import GraphFile
from flowrt.options import Options, descriptions


class _Documented(GenerateJsonSchema):
    """With the text under each field, which pydantic does not see."""

    def model_schema(self, schema: ModelSchema) -> JsonSchemaValue:
        made, model = super().model_schema(schema), schema["cls"]
        if issubclass(model, Options):
            texts = descriptions(model)
            for name, field in model.model_fields.items():
                if name in texts:
                    made["properties"][field.alias or name]["description"] = texts[name]
        return made


def json_schema() -> dict[str, Any]:
    """JSON Schema 2020-12, for editors and for `flowrt schema`."""
    schema = GraphFile.model_json_schema(by_alias=True, schema_generator=_Documented)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "flowrt graph"}
