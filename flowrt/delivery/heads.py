"""Heads of messages as JSON, for what is kept on disk: spools, dead letters."""

from __future__ import annotations

import json
from typing import Any

from flowrt.message import Head, Tensor


def head_to_json(head: Head, *, sent: bool = False) -> bytes:
    """All of a head, or what a sink may send of it. What is not set is left out."""
    fields: dict[str, Any] = {"topic": head.topic}
    if head.content_type is not None:
        fields["contentType"] = head.content_type
    if head.properties:
        fields["properties"] = head.properties
    if head.response_topic is not None:
        fields["responseTopic"] = head.response_topic
    if head.correlation is not None:
        fields["correlation"] = head.correlation.hex()
    if head.schema is not None:
        fields["schema"] = head.schema
    if head.retain:
        fields["retain"] = True
    if head.timestamp is not None:
        fields["timestamp"] = head.timestamp
    if head.tensors and not sent:
        fields["tensors"] = [(tensor.name, tensor.type, tensor.shape) for tensor in head.tensors]
    return json.dumps(fields, separators=(",", ":")).encode()


def head_from_json(fields: dict[str, Any]) -> Head:
    """The head that `head_to_json` was given. Raises KeyError, TypeError or ValueError for anything else."""
    correlation, timestamp = fields.get("correlation"), fields.get("timestamp")
    return Head(
        fields["topic"],
        fields.get("contentType"),
        tuple((key, value) for key, value in fields.get("properties", ())),
        fields.get("responseTopic"),
        bytes.fromhex(correlation) if correlation is not None else None,
        fields.get("schema"),
        bool(fields.get("retain")),
        (timestamp[0], timestamp[1], timestamp[2]) if timestamp is not None else None,
        tuple(Tensor(name, kind, tuple(shape)) for name, kind, shape in fields.get("tensors", ())),
    )
