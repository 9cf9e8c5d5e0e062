"""A file's values with their positions: what `document` makes of YAML and everything after it points into."""

from __future__ import annotations

from collections.abc import Iterable

from flowrt.values import Struct


class Mark(Struct, frozen=True):
    """A position, both from 1."""

    line: int
    column: int
    path: str = ""
    """The file, where a tree is made of several; else the tree's own."""


START = Mark(1, 1)


class Scalar(Struct, frozen=True):
    """One value. `value` is what it means, `text` how it is written."""

    mark: Mark
    value: str | int | float | bool | None
    text: str
    plain: bool = False
    """Written without quotes."""
    filled: bool = False
    """A variable was filled in: `value` may be confidential and is never shown, `text` is."""
    unset: bool = False
    """A variable in it has no value, which is already reported."""
    size: int = 1
    depth: int = 1


class Sequence(Struct, frozen=True):
    """A list."""

    mark: Mark
    items: tuple[Node, ...]
    size: int = 1
    depth: int = 1


class Entry(Struct, frozen=True):
    """One key of a mapping with its value."""

    mark: Mark
    value: Node


class Mapping(Struct, frozen=True):
    """Keys are texts, each once."""

    mark: Mark
    entries: dict[str, Entry]
    size: int = 1
    depth: int = 1

    def get(self, key: str) -> Node | None:
        entry = self.entries.get(key)
        return entry.value if entry else None


Node = Scalar | Sequence | Mapping


def plain(node: Node) -> object:
    """The tree as dict, list and scalars, for pydantic."""
    if isinstance(node, Scalar):
        return node.value
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(entry.value) for key, entry in node.entries.items()}


def describe(node: Node) -> str:
    """What was found, in words, as it is written: `the number 10`, `a list`."""
    if isinstance(node, Sequence):
        return "a list"
    if isinstance(node, Mapping):
        return "a mapping"
    shown = node.text if len(node.text) <= 60 else node.text[:57] + "…"
    if node.value is None:
        return "nothing"
    if node.filled or isinstance(node.value, str):
        return f"'{shown}'"
    kind = "truth value" if isinstance(node.value, bool) else "number"
    return f"the {kind} {shown}"


def at(root: Node, loc: Iterable[str | int]) -> Mark:
    """Where the value at `loc` stands, or the nearest value around it that exists."""
    node = root
    for part in loc:
        found = child(node, part)
        if found is None:
            break
        node = found
    return node.mark


def child(node: Node, part: str | int) -> Node | None:
    """The value under a key or an index."""
    if isinstance(node, Mapping) and isinstance(part, str):
        return node.get(part)
    if isinstance(node, Sequence) and isinstance(part, int) and part < len(node.items):
        return node.items[part]
    return None
