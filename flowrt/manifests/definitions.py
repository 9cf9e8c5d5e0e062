"""The graph definition that a Graph node's artifact names, as a part of the graph that is composed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from flowrt.graph.artifacts import expand
from flowrt.graph.document import parse
from flowrt.graph.tree import Entry, Node, Scalar
from flowrt.graph.tree import Mapping as Tree
from flowrt.manifests.bindings_file import FILE
from flowrt.manifests.folder import Folder
from flowrt.manifests.trees import items_of, placed, text_of
from flowrt.problem import Problem, nearest
from flowrt.values import Struct, field, replace

End = tuple[str, Node | None]
"""An operation's name and, where it is a branch, the arm."""


class Definition(Struct):
    """A definition whose own sources and sinks are taken off: what it holds, what goes in where, what comes out."""

    sections: dict[str, list[Node]] = field(default_factory=dict)
    """`operations`, `connections`, `moduleConfigurations`, `schemas`, and `features` of its moduleRequirements."""
    inputs: dict[str, list[str]] = field(default_factory=dict)
    """By source, the operations it feeds."""
    outputs: dict[str, list[End]] = field(default_factory=dict)
    """By sink, what feeds it."""


def find(folder: Folder, artifact: str, where: Node) -> Tree | None:
    """The tree of an artifact's definition; None when there is none, which is reported at `where`."""
    name, _, version = artifact.rpartition("/")[2].partition(":")
    bound = folder.bindings.artifacts.get(artifact)
    names = [f"{name}-{version}.yaml", f"{name}.yaml", f"{name}/graph.dataflow.yaml", f"{name}/{name}.yaml"]
    for file in [bound] if bound else names:
        if (folder.path / file).is_file():
            return _parsed(folder, folder.path / file)
    for _, root in folder.definitions:
        if text_of(root, "metadata", "name") == name and text_of(root, "metadata", "version") in {version, ""}:
            return root
    looked = f"there is no file {folder.path / bound}" if bound else f"looked in {folder.path} for {', '.join(names)}"
    remedy = f'add it, or to {FILE}: artifacts: {{"{artifact}": FILE}}'
    folder.problem(where, "unbound-reference", f"the graph definition '{artifact}' is not here ({looked}); {remedy}")
    return None


def _parsed(folder: Folder, path: Path) -> Tree | None:
    try:
        root, problems = parse(path.read_bytes(), str(path))
    except OSError as error:
        folder.problems.append(Problem(str(path), 0, 0, "unreadable-file", f"it cannot be read: {error.strerror}"))
        return None
    folder.problems += problems
    found = placed(root, str(path)) if root is not None else None
    return found if isinstance(found, Tree) else None


def taken(folder: Folder, root: Tree, prefix: str, settings: Mapping[str, Scalar]) -> Definition:
    """A definition's parts, its operations' names behind `prefix`, its parameters set by `settings`."""
    texts = {key: str(given.value) for key, given in settings.items()}
    root, problems = expand(root, str(folder.path), texts)
    folder.problems += problems
    _report_unused(folder, root, settings)
    ends = {
        kind: [text_of(op, "name") for op in items_of(root, "operations") if text_of(op, "operationType") == kind]
        for kind in ("source", "sink")
    }
    made = Definition(inputs={name: [] for name in ends["source"]}, outputs={name: [] for name in ends["sink"]})
    made.sections = {
        "operations": [
            _renamed(op, prefix, "name")
            for op in items_of(root, "operations")
            if text_of(op, "operationType") not in ends
        ],
        "connections": list(_connections(folder, root, prefix, made)),
        "moduleConfigurations": [
            _filled(_renamed(entry, prefix, "name"), settings) for entry in items_of(root, "moduleConfigurations")
        ],
        "schemas": [*items_of(root, "schemas")],
        "features": [*items_of(root.get("moduleRequirements"), "features")],
    }
    return made


def _connections(folder: Folder, root: Tree, prefix: str, made: Definition) -> list[Node]:
    """Those between operations; those to and from the ends are noted in `made`."""
    kept: list[Node] = []
    for connection in items_of(root, "connections"):
        begin, end = text_of(connection, "from", "name"), text_of(connection, "to", "name")
        if begin in made.inputs and end in made.outputs:
            message = "a graph definition that passes messages from source to sink does nothing; leave its node out"
            folder.problem(connection, "not-on-a-gateway", message)
        elif begin in made.inputs:
            made.inputs[begin].append(prefix + end)
        elif end in made.outputs:
            begins = connection.get("from")
            made.outputs[end].append((prefix + begin, begins.get("arm") if isinstance(begins, Tree) else None))
        else:
            kept.append(_renamed(_renamed(connection, prefix, "from", "name"), prefix, "to", "name"))
    return kept


def _renamed(node: Tree, prefix: str, *keys: str) -> Tree:
    """The same with `prefix` before the name at some keys."""
    key, rest = keys[0], keys[1:]
    found = node.get(key)
    if rest and isinstance(found, Tree):
        changed: Node = _renamed(found, prefix, *rest)
    elif isinstance(found, Scalar) and isinstance(found.value, str):
        changed = replace(found, value=prefix + found.value)
    else:
        return node
    return replace(node, entries={**node.entries, key: Entry(node.entries[key].mark, changed)})


def _filled(configuration: Tree, settings: Mapping[str, Scalar]) -> Tree:
    """The configuration of a module with the node's settings in the place of its defaults."""
    parameters = configuration.get("parameters")
    if not isinstance(parameters, Tree):
        return configuration
    entries = {}
    for key, entry in parameters.entries.items():
        given = settings.get(key) or settings.get(text_of(entry.value, "name"))
        entries[key] = entry
        if given is not None and isinstance(entry.value, Tree):
            filled = {**entry.value.entries, "default": Entry(given.mark, given)}
            entries[key] = Entry(entry.mark, replace(entry.value, entries=filled))
    changed = {**configuration.entries, "parameters": Entry(parameters.mark, replace(parameters, entries=entries))}
    return replace(configuration, entries=changed)


def _report_unused(folder: Folder, root: Tree, settings: Mapping[str, Scalar]) -> None:
    known: dict[str, None] = {}
    for entry in items_of(root, "moduleConfigurations"):
        parameters = entry.get("parameters")
        for key, parameter in parameters.entries.items() if isinstance(parameters, Tree) else ():
            known |= {key: None, text_of(parameter.value, "name") or key: None}
    for key, given in settings.items():
        if key not in known:
            near = nearest(key, known) or f"; it takes {', '.join(known) or 'none'}"
            folder.warn(given, "unused-set", f"the definition has no parameter '{key}'{near}")
