"""Making trees of trees: what is composed from several files keeps every value's file, line and column."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flowrt.graph.tree import Entry, Mark, Node, Scalar, Sequence, child
from flowrt.graph.tree import Mapping as Tree
from flowrt.values import replace


def placed(node: Node, path: str) -> Node:
    """The same node, whose marks say which file it stands in."""
    mark = replace(node.mark, path=path)
    if isinstance(node, Sequence):
        return replace(node, mark=mark, items=tuple(placed(item, path) for item in node.items))
    if isinstance(node, Tree):
        entries = {
            key: Entry(replace(entry.mark, path=path), placed(entry.value, path)) for key, entry in node.entries.items()
        }
        return replace(node, mark=mark, entries=entries)
    return replace(node, mark=mark)


def word(mark: Mark, text: str) -> Scalar:
    return Scalar(mark, text, text)


def value(mark: Mark, found: object) -> Node:
    """A plain value, as YAML gives it, standing at one place."""
    if isinstance(found, Mapping):
        return tree(mark, {str(key): value(mark, item) for key, item in found.items()})
    if isinstance(found, list | tuple):
        return listed(mark, [value(mark, item) for item in found])
    if found is None or isinstance(found, str | int | float):
        return Scalar(mark, found, str(found))
    raise TypeError(f"no value of a tree: {found!r}")


def tree(mark: Mark, values: Mapping[str, Node]) -> Tree:
    return Tree(mark, {key: Entry(node.mark, node) for key, node in values.items()})


def listed(mark: Mark, items: Iterable[Node]) -> Sequence:
    return Sequence(mark, tuple(items))


def items_of(node: Node | None, key: str) -> tuple[Tree, ...]:
    """The mappings of a list."""
    found = node.get(key) if isinstance(node, Tree) else None
    return tuple(item for item in found.items if isinstance(item, Tree)) if isinstance(found, Sequence) else ()


def text_of(node: Node | None, *keys: str) -> str:
    """The text under some keys, or nothing."""
    for key in keys:
        node = node.get(key) if isinstance(node, Tree) else None
    return str(node.value) if isinstance(node, Scalar) and node.value is not None else ""


def part(node: Node, *keys: str | int) -> Node:
    """The value at some keys, or the nearest one around it that exists: where a problem is reported."""
    for key in keys:
        found = child(node, key)
        if found is None:
            break
        node = found
    return node
