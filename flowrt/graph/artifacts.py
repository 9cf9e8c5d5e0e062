"""AIO's built-in transforms, named as the modules that AIO runs them as, as `transform` operations.

`azureiotoperations/graph-dataflow-map:1.0.0` and its like are looked up in no registry: what they do is part of
flowrt. The tree that is made keeps every position, so a mistake in the rules is found where the user wrote them.
Facts: AIO's documented artifacts, their versions and configuration keys.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from flowrt.graph.tree import Entry, Node, Scalar, Sequence
from flowrt.graph.tree import Mapping as Tree
from flowrt.problem import Problem, nearest
from flowrt.values import Struct, replace


class Artifact(Struct, frozen=True):
    """One of AIO's built-in transforms."""

    versions: tuple[str, ...]
    keys: Mapping[str, str]
    """Configuration key to the first version that takes it."""
    types: tuple[str, ...]
    """The operation types it may be written as, beside `transform`."""


_FIRST, _SECOND = "1.0.0", "1.1.0"
_ANY = ("map", "filter", "accumulate", "delay")
ARTIFACTS: dict[str, Artifact] = {
    "map": Artifact((_FIRST,), {"rules": _FIRST}, ("map",)),
    "filter": Artifact((_FIRST,), {"rules": _FIRST}, ("filter",)),
    "branch": Artifact((_FIRST,), {"rules": _FIRST}, ("branch",)),
    "concatenate": Artifact((_FIRST,), {}, ("concatenate",)),
    "window": Artifact(
        (_FIRST, _SECOND),
        {"rules": _FIRST, "delay": _FIRST, "count": _SECOND, "memory": _SECOND, "triggers": _SECOND},
        _ANY,
    ),
    "throttle": Artifact((_FIRST,), {"throttle": _FIRST}, _ANY),
}
"""By what follows `graph-dataflow-` in their names."""
_NAME = re.compile(r"(?:\S*/)?graph-dataflow-([\w-]*)(?::(\S*))?")
_OUTPUT = re.compile(r"(.+)\.output\.(true|false)")


def kind_of_artifact(module: object) -> str | None:
    """`map` for `azureiotoperations/graph-dataflow-map:1.0.0`; None for a module that is none of AIO's built-ins."""
    match = _NAME.fullmatch(module) if isinstance(module, str) else None
    return match[1] if match else None


def operation_of(operation: Tree, artifact: Scalar, configuration: Mapping[str, Scalar]) -> Tree:
    """The operation that runs an artifact as part of flowrt.

    `operation` has at least a `name`, and may have what every operation has; `configuration` is what AIO's
    `graphSettings.configuration` lists, the values as texts.
    """
    entries = {key: entry for key, entry in operation.entries.items() if key not in ("operationType", "module")}
    kind = kind_of_artifact(artifact.value)
    written = operation.entries.get("operationType")
    mark = written.value.mark if written else operation.mark
    merging = kind == "concatenate"
    type_ = "concatenate" if merging else "transform"
    typed = {"operationType": Entry(written.mark if written else mark, Scalar(mark, type_, type_))}
    if not merging:
        typed["module"] = Entry(artifact.mark, artifact)
    typed |= entries
    typed |= {key: Entry(value.mark, value) for key, value in configuration.items()}
    return replace(operation, entries=typed)


def expand(root: Tree, path: str, sets: Mapping[str, str]) -> tuple[Tree, list[Problem]]:
    """A file's tree with its built-in transforms as operations of flowrt, and what is wrong with how they are named."""
    operations = root.get("operations")
    if not isinstance(operations, Sequence):
        return root, []
    problems: list[Problem] = []
    items: list[Node] = []
    for item in operations.items:
        artifact = item.get("module") if isinstance(item, Tree) else None
        if isinstance(item, Tree) and isinstance(artifact, Scalar) and kind_of_artifact(artifact.value) is not None:
            configuration = _configuration(root, item, sets)
            problems += mistakes(item, artifact, configuration, path)
            known = ARTIFACTS.get(kind_of_artifact(artifact.value) or "")
            if known is not None:
                fitting = {key: value for key, value in configuration.items() if key in known.keys}
                item = operation_of(item, artifact, fitting)
        items.append(item)
    entries = dict(root.entries)
    entries["operations"] = Entry(entries["operations"].mark, replace(operations, items=tuple(items)))
    return _with_arms(replace(root, entries=entries), _names(items)), problems


def _names(items: list[Node]) -> set[object]:
    names = [item.get("name") for item in items if isinstance(item, Tree)]
    return {name.value for name in names if isinstance(name, Scalar)}


def _configuration(root: Tree, operation: Tree, sets: Mapping[str, str]) -> dict[str, Scalar]:
    """The values of the operation's parameters, from `--set` or their defaults, by the names the module knows."""
    name, found = operation.get("name"), {}
    listed = root.get("moduleConfigurations")
    for entry in listed.items if isinstance(listed, Sequence) else ():
        given = entry.get("name") if isinstance(entry, Tree) else None
        if not isinstance(entry, Tree) or not isinstance(given, Scalar) or not isinstance(name, Scalar):
            continue
        parameters = entry.get("parameters") if given.value == name.value else None
        for key, parameter in parameters.entries.items() if isinstance(parameters, Tree) else ():
            if (value := _value(str(name.value), key, parameter.value, sets)) is not None:
                found[value[0]] = value[1]
    return found


def _value(operation: str, key: str, parameter: Node, sets: Mapping[str, str]) -> tuple[str, Scalar] | None:
    named = parameter.get("name") if isinstance(parameter, Tree) else None
    name = str(named.value) if isinstance(named, Scalar) else key
    wanted = (f"{operation}.{key}", f"{operation}.{name}", key, name)
    given = next((sets[text] for text in wanted if text in sets), None)
    if given is not None:
        return name, Scalar(parameter.mark, given, given, filled=True)
    default = parameter.get("default") if isinstance(parameter, Tree) else None
    return (name, default) if isinstance(default, Scalar) and default.value is not None else None


def mistakes(operation: Tree, artifact: Scalar, configuration: Mapping[str, Scalar], path: str) -> Iterator[Problem]:
    """What is wrong with an operation that names a built-in: its name, version, type, configuration keys."""
    name = operation.get("name")
    words = f"operation '{name.value}': " if isinstance(name, Scalar) else ""
    node = str(name.value) if isinstance(name, Scalar) else None

    def problem(where: Scalar, message: str) -> Problem:
        return Problem(
            where.mark.path or path, where.mark.line, where.mark.column, "bad-builtin", words + message, node
        )

    match = _NAME.fullmatch(str(artifact.value))
    kind, version = (match[1], match[2]) if match else ("", None)
    known = ARTIFACTS.get(kind)
    if known is None:
        remedy = nearest(kind, ARTIFACTS) or f"; there are {', '.join(ARTIFACTS)}"
        yield problem(artifact, f"AIO has no built-in transform 'graph-dataflow-{kind}'{remedy}")
        return
    if version not in known.versions:
        found = f"version '{version}'" if version else "no version"
        yield problem(artifact, f"graph-dataflow-{kind} has {found}; known are {', '.join(known.versions)}")
        version = known.versions[-1]
    written = operation.get("operationType")
    if isinstance(written, Scalar) and written.value not in (*known.types, "transform"):
        wanted = " or ".join((*known.types, "transform"))
        yield problem(written, f"graph-dataflow-{kind} is no {written.value}; write operationType: {wanted}")
    for key, value in configuration.items():
        if key not in known.keys:
            remedy = nearest(key, known.keys) or (f"; it takes {', '.join(known.keys)}" if known.keys else "")
            yield problem(value, f"graph-dataflow-{kind} takes no configuration '{key}'{remedy}")
        elif version < known.keys[key]:
            yield problem(value, f"graph-dataflow-{kind}:{version} takes no '{key}' yet; use version {known.keys[key]}")


def _with_arms(root: Tree, operations: set[object]) -> Tree:
    """`x.output.true` in a connection as the arm "True" of `x`, which is how AIO's DataflowGraph writes it."""
    connections = root.get("connections")
    if not isinstance(connections, Sequence):
        return root
    items = tuple(_armed(item, operations) for item in connections.items)
    entries = dict(root.entries)
    entries["connections"] = Entry(entries["connections"].mark, replace(connections, items=items))
    return replace(root, entries=entries)


def _armed(connection: Node, operations: set[object]) -> Node:
    begin = connection.get("from") if isinstance(connection, Tree) else None
    name = begin.get("name") if isinstance(begin, Tree) else None
    if not isinstance(connection, Tree) or not isinstance(begin, Tree) or not isinstance(name, Scalar):
        return connection
    match = _OUTPUT.fullmatch(name.value) if isinstance(name.value, str) else None
    if match is None or name.value in operations or match[1] not in operations or "arm" in begin.entries:
        return connection
    of, arm = replace(name, value=match[1]), replace(name, value=match[2].capitalize())
    changed = {**begin.entries, "name": Entry(begin.entries["name"].mark, of), "arm": Entry(name.mark, arm)}
    entries = {**connection.entries, "from": Entry(connection.entries["from"].mark, replace(begin, entries=changed))}
    return replace(connection, entries=entries)
