"""What is left of a file whose fields are not all sound, so that its other mistakes are found in the same run.

A field that is wrong is left out; one that is missing gets `PLACEHOLDER`; an operation of unknown type passes for one
that merges its inputs. Nothing made here is ever run: a file with errors has no plan.
"""

from __future__ import annotations

from pydantic import ValidationError

from flowrt.graph.graph import PLACEHOLDER, Loc
from flowrt.graph.locate import Steps
from flowrt.graph.tree import Entry, Mapping, Node, Scalar, Sequence, child
from flowrt.values import replace

_STAND_IN_TYPE = "concatenate"


def repair(error: ValidationError, root: Mapping) -> tuple[Mapping, bool]:
    """The tree without what pydantic refused, and whether the operations and connections left are still all of them."""
    found = [
        (Steps(details["loc"], root), details["type"])
        for details in error.errors(include_url=False, include_context=False)
    ]
    fitting = [(steps, kind) for steps, kind in found if steps.tag_fits]
    edits = {_place(steps): (kind, steps.stray or "") for steps, kind in fitting or found}
    whole = True
    for loc in sorted(edits, key=_last_first, reverse=True):
        kind, stray = edits[loc]
        whole = whole and not _shapes_the_graph(loc, kind, stray)
        root = _repaired(root, loc, kind, stray)
    return root, whole


def _place(steps: Steps) -> Loc:
    """What to edit: what was refused; or, when that is a stand-in made here, the item of the list it is in."""
    node = steps.node
    made_up = isinstance(node, Scalar) and node.unset and node.text == PLACEHOLDER
    return steps.walked[:2] if made_up else steps.walked


def without(root: Mapping, loc: Loc) -> Mapping:
    """The tree without the entry or item at `loc`."""
    return _as_mapping(_edit(root, loc, None))


def _repaired(root: Mapping, loc: Loc, kind: str, stray: str) -> Mapping:
    if kind == "missing":
        return _as_mapping(_edit(root, (*loc, stray), PLACEHOLDER))
    if kind.startswith("union_tag"):
        return _as_mapping(_edit(root, (*loc, "operationType"), _STAND_IN_TYPE))
    return without(root, loc) if loc else root


def _shapes_the_graph(loc: Loc, kind: str, stray: str) -> bool:
    if kind == "extra_forbidden":
        return False
    if not loc or loc[0] in {"connections", "modules"}:
        return True
    if loc[0] != "operations":
        return False
    return (len(loc) <= 2 and stray in {"", "name", "operationType"}) or loc[2:] in {("name",), ("operationType",)}


def _last_first(loc: Loc) -> tuple[tuple[int, str], ...]:
    """Items of a list from its end, so that an earlier one keeps its index."""
    return tuple((part, "") if isinstance(part, int) else (0, part) for part in loc)


def _as_mapping(node: Node | None) -> Mapping:
    if not isinstance(node, Mapping):
        raise TypeError("a file's root is a mapping")
    return node


def _edit(node: Node, loc: Loc, text: str | None) -> Node | None:
    """The node with `text` at `loc`, or with nothing there."""
    if not loc:
        return None if text is None else Scalar(node.mark, text, text, unset=True)
    part, rest = loc[0], loc[1:]
    found = child(node, part)
    if found is None and (rest or text is None):
        return node
    changed = _edit(found if found is not None else node, rest, text)
    if isinstance(node, Mapping):
        entries = {key: entry for key, entry in node.entries.items() if key != part or changed is not None}
        if changed is not None:
            mark = node.entries[str(part)].mark if part in node.entries else node.mark
            entries[str(part)] = Entry(mark, changed)
        return replace(node, entries=entries)
    if isinstance(node, Sequence) and isinstance(part, int):
        items = list(node.items)
        items[part : part + 1] = [] if changed is None else [changed]
        return replace(node, items=tuple(items))
    return node
