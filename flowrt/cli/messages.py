"""A message as JSON, for people and for programs: whatever its bytes are, all of it is there."""

from __future__ import annotations

import base64
from typing import Any

from flowrt.message import Head


def fields_of(head: Head, payload: bytes) -> dict[str, Any]:
    """`payload` is for reading; one that is no UTF-8 is in `payloadBase64` as well, to the byte."""
    fields: dict[str, Any] = {
        "topic": head.topic,
        "contentType": head.content_type,
        "properties": head.properties,
        "payload": bytes(payload).decode("utf-8", "backslashreplace"),
    }
    try:
        bytes(payload).decode()
    except UnicodeDecodeError:
        fields["payloadBase64"] = base64.b64encode(payload).decode()
    if head.retain:
        fields["retain"] = True
    if head.schema is not None:
        fields["schema"] = head.schema
    if head.response_topic is not None:
        fields["responseTopic"] = head.response_topic
    if head.correlation is not None:
        fields["correlationBase64"] = base64.b64encode(head.correlation).decode()
    return fields
