"""The tutorials' short form, a chain of `modules`, as the ordinary form: a tree made of the same positions, so that a
problem found later still points at the line the user wrote."""

from __future__ import annotations

import json
from itertools import pairwise

from flowrt.graph.tree import Entry, Mapping, Mark, Node, Scalar, Sequence, plain
from flowrt.values import replace

SOURCE, SINK = "source", "sink"
"""Names of the ends that the short form leaves out; `--bind` binds them."""


def expand(root: Mapping) -> Mapping:
    """`root`, whose `modules` are valid, with operations, connections, configurations and models in their place."""
    chain = root.get("modules")
    if not isinstance(chain, Sequence):
        return root
    modules = [module for module in chain.items if isinstance(module, Mapping)]
    ends = _end(chain.mark, SOURCE), _end(chain.mark, SINK)
    names = [_text(ends[0], "name"), *(_text(module, "name") for module in modules), _text(ends[1], "name")]
    sections: dict[str, list[Node]] = {
        "operations": [ends[0], *map(_operation, modules), ends[1]],
        "connections": [_connection(start, end) for start, end in pairwise(names)],
        "moduleConfigurations": [_configuration(module) for module in modules if _config(module)],
        "models": _models(modules),
    }
    entries = {key: entry for key, entry in root.entries.items() if key != "modules"}
    for section, items in sections.items():
        present = root.get(section)
        kept = present.items if isinstance(present, Sequence) else ()
        entries[section] = Entry(chain.mark, Sequence(chain.mark, (*kept, *items)))
    return replace(root, entries=entries)


def _map(mark: Mark, **values: Node) -> Mapping:
    return Mapping(mark, {key.rstrip("_"): Entry(value.mark, value) for key, value in values.items()})


def _word(mark: Mark, text: str) -> Scalar:
    return Scalar(mark, text, text)


def _text(module: Mapping, key: str) -> Scalar:
    found = module.get(key)
    return found if isinstance(found, Scalar) else _word(module.mark, "")


def _end(mark: Mark, kind: str) -> Mapping:
    return _map(mark, operationType=_word(mark, kind), name=_word(mark, kind))


def _operation(module: Mapping) -> Mapping:
    kind, memory = _word(module.mark, "map"), _word(module.mark, "memory")  # whose state is on disk needs the long form
    return _map(
        module.mark, operationType=kind, name=_text(module, "name"), module=_text(module, "path"), keepState=memory
    )


def _connection(start: Scalar, end: Scalar) -> Mapping:
    return _map(end.mark, from_=_map(start.mark, name=start), to=_map(end.mark, name=end))


def _config(module: Mapping) -> dict[str, Entry]:
    found = module.get("config")
    return found.entries if isinstance(found, Mapping) else {}


def _configuration(module: Mapping) -> Mapping:
    parameters = {
        key: Entry(entry.mark, _map(entry.mark, name=_word(entry.mark, key), default=_as_text(entry.value)))
        for key, entry in _config(module).items()
    }
    return _map(module.mark, name=_text(module, "name"), parameters=Mapping(module.mark, parameters))


def _as_text(node: Node) -> Scalar:
    """A property is text: a number as it is written, a list or mapping as JSON."""
    if not isinstance(node, Scalar):
        return _word(node.mark, json.dumps(plain(node)))
    if node.filled and not isinstance(node.value, str):
        return replace(node, value=json.dumps(node.value))
    return replace(node, value=node.value if node.filled else node.text)


def _models(modules: list[Mapping]) -> list[Node]:
    """The modules' models, each path once, under its path as name."""
    found: dict[str, Node] = {}
    for module in modules:
        model = module.get("config")
        path = model.get("model") if isinstance(model, Mapping) else None
        if isinstance(path, Scalar) and isinstance(path.value, str):
            found.setdefault(path.value, _map(path.mark, name=path, path=path))
    return list(found.values())
