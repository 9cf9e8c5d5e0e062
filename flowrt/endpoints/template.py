"""Topics of sinks, as templates: `plant/{topic[1]}/anomaly`. Pure.

Placeholders: `{topic}` is the message's topic and `{topic[1]}` its second level; `{property.KEY}` a user property, the
first where there are several; `{json.a.b}` a value inside a JSON payload (a text, a number, true or false; a number in
the path picks from a list). `{{` and `}}` are braces.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from flowrt.endpoints.topics import topic_fault
from flowrt.errors import NodeFault
from flowrt.message import Head
from flowrt.values import Struct

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_LEVEL = re.compile(r"topic\[(\d{1,5})\]")

_Part = Callable[[Head, Any], str]
"""Gives one piece of the topic, from the head and the payload's JSON value. Raises LookupError with the reason."""


class Template(Struct, frozen=True):
    """A compiled template. Same head, same topic, unless it `reads_payload`."""

    text: str
    parts: tuple[str | _Part, ...]
    reads_payload: bool

    @property
    def constant(self) -> bool:
        """Whether every message goes to the same topic."""
        return all(isinstance(part, str) for part in self.parts)

    def fill(self, head: Head, payload: bytes = b"") -> str:
        """The topic for a message. Raises `NodeFault` of kind `topic`."""
        value = _decode(payload) if self.reads_payload else None
        try:
            topic = "".join([part if isinstance(part, str) else part(head, value) for part in self.parts])
        except LookupError as error:
            raise NodeFault("topic", f"{error.args[0]}, for the template '{self.text}'") from None
        if fault := topic_fault(topic):
            raise NodeFault("topic", f"{fault}: '{topic[:200]}', made by the template '{self.text}'")
        return topic


def parse(text: str) -> Template:
    """Compile a template. Raises ValueError, with the column from 1 at the start of its words: `column 7: …`."""
    parts: list[str | _Part] = []
    reads_payload = False
    at = 0
    for match in _TOKEN.finditer(text):
        if match.start() > at:
            parts.append(text[at : match.start()])
        at = match.end()
        token, name = match[0], match[1]
        if token in {"{{", "}}"}:
            parts.append(token[0])
        elif name is None:
            raise ValueError(
                f"column {match.start() + 1}: '{token}' without its partner; write '{token * 2}' for a brace"
            )
        else:
            parts.append(_placeholder(name, match.start() + 1))
            reads_payload = reads_payload or name.startswith("json.")
    parts.append(text[at:])
    template = Template(text, _merged(parts), reads_payload)
    _check_fixed_text(template)
    return template


def _placeholder(name: str, column: int) -> _Part:
    if name == "topic":
        return lambda head, _: head.topic
    if level := _LEVEL.fullmatch(name):
        return _topic_level(int(level[1]))
    kind, _, key = name.partition(".")
    if key and kind == "property":
        return _property(key)
    if key and kind == "json" and all(key.split(".")):
        return _json_value(tuple(key.split(".")))
    known = "{topic}, {topic[N]}, {property.KEY} or {json.PATH}"
    raise ValueError(f"column {column}: '{{{name}}}' is no placeholder; use {known}")


def _check_fixed_text(template: Template) -> None:
    at = 0
    for part in template.parts:
        if isinstance(part, str):
            at = template.text.find(part, at) if part in template.text else at
            if fault := topic_fault(part or "x"):
                raise ValueError(f"column {at + 1}: {fault}")
    if template.constant and not "".join(map(str, template.parts)):
        raise ValueError("column 1: a topic may not be empty")


def _merged(parts: list[str | _Part]) -> tuple[str | _Part, ...]:
    merged: list[str | _Part] = []
    for part in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


def _topic_level(level: int) -> _Part:
    def part(head: Head, _: Any) -> str:
        levels = head.topic.split("/")
        if level >= len(levels):
            raise LookupError(f"the topic '{head.topic}' has no level {level}")
        return levels[level]

    return part


def _property(key: str) -> _Part:
    def part(head: Head, _: Any) -> str:
        for name, value in head.properties:
            if name == key:
                return value
        raise LookupError(f"the message has no user property '{key}'")

    return part


def _json_value(path: tuple[str, ...]) -> _Part:
    def part(_: Head, value: Any) -> str:
        for step in path:
            if isinstance(value, dict) and step in value:
                value = value[step]
            elif isinstance(value, list) and step.isascii() and step.isdigit() and int(step[:9]) < len(value):
                value = value[int(step[:9])]
            else:
                raise LookupError(f"the payload has no value '{'.'.join(path)}'")
        if isinstance(value, str):
            return value
        if isinstance(value, (bool, int, float)):
            return json.dumps(value)
        raise LookupError(f"the payload's value '{'.'.join(path)}' is no text and no number")

    return part


def _decode(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise NodeFault("topic", f"the topic needs a JSON payload: {error}") from None
