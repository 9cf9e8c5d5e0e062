"""What a place in a graph file belongs to, in words for its user."""

from __future__ import annotations

from collections.abc import Iterable

from flowrt.graph.tree import Mapping, Node, Scalar, child

THE_GRAPH = "the graph"


def owner(root: Mapping, loc: Iterable[str | int]) -> tuple[str, str | None]:
    """What a location belongs to, in words and as a node's name: (`operation 'x'`, `x`)."""
    parts = [*loc, None, None][:2]
    section, index = parts[0], parts[1]
    item = child(root.get(str(section)) or root, index) if isinstance(index, int) else None
    if item is None:
        return THE_GRAPH, None
    if section == "connections":
        return f"connection {_name(item, 'from', 'name')} -> {_name(item, 'to', 'name')}", None
    name = _name(item, "name")
    words = {
        "operations": "operation",
        "endpoints": "endpoint",
        "models": "model",
        "modules": "module",
        "schemas": "schema",
        "cases": "case",
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
