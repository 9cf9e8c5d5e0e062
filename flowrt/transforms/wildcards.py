"""Wildcard rules of a map: one rule for every field that a path with a `*` finds.

Such a rule leaves a field to a later rule that removes it, or that is about exactly the same fields and more specific:
it has no wildcard, or one that stands for fewer segments. A rule that only writes metadata is about no field.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flowrt.errors import NodeFault
from flowrt.transforms.documents import detached, put
from flowrt.transforms.heads import Write
from flowrt.transforms.inputs import MISSING, Formula, Row, find, reader
from flowrt.transforms.paths import InputPath, Path
from flowrt.transforms.values import TEXT_MAX
from flowrt.values import Struct

CAPTURED_MAX = 64
"""Segments that a wildcard may stand for where each field is handled by itself, so that its work stays linear."""
Segments = tuple[str, ...]
Mask = dict[str, Any]
"""Fields that are left out: key to None, for the field and all in it, or to the mask of what is inside."""
_OPEN: Mask = {}
Step = Callable[[Row, dict[str, Any], list[Write]], None]
"""Applies one rule: writes into the document and the list that are made."""


class ParsedRule(Struct, frozen=True):
    """A rule with its paths parsed."""

    number: int
    """From 1."""
    inputs: tuple[InputPath, ...]
    output: Path | None
    """None removes."""
    formula: Formula | None

    @property
    def wildcard(self) -> bool:
        return bool(self.inputs) and self.inputs[0].path.wildcard is not None

    @property
    def reads_records(self) -> bool:
        """Whether an input is a dataset's."""
        return any(given.path.place == "context" for given in self.inputs)

    @property
    def fields(self) -> list[Path]:
        """Paths of the message's document that it reads."""
        return [given.path for given in self.inputs if given.path.place == "payload"]

    def resolved(self, captured: Segments) -> frozenset[Segments]:
        """The fields that it is about when its wildcard stands for `captured`."""
        return frozenset(
            path.segments if path.wildcard is None else (*path.before, *captured, *path.after) for path in self.fields
        )

    def rivals(self, general: ParsedRule) -> bool:
        """Whether it may be about the same fields as an earlier wildcard rule, and more specific."""
        if self.output is None or self.output.place != "payload" or len(self.fields) != len(general.fields):
            return False
        return not self.wildcard or len(self.fields[0].segments) > len(general.fields[0].segments)


def wildcard_step(rule: ParsedRule, output: Path, later: Sequence[ParsedRule]) -> Step:
    """What a wildcard rule does, before the rules `later`."""
    path = rule.inputs[0].path
    removed: Mask = {}
    rivals: list[ParsedRule] = []
    if rule.fields:
        for other in later:
            for field in other.fields if other.output is None and not other.wildcard else ():
                _add(removed, field.segments)
        rivals = [other for other in later if other.rivals(rule)]
    if len(rule.inputs) > 1 or rule.formula or path.after or output.after or any(rival.wildcard for rival in rivals):
        return _each_field(rule, output, removed, rivals)
    for rival in rivals:
        _add(removed, rival.fields[0].segments)
    return _subtree(path, output, removed)


def _add(mask: Mask, segments: Segments) -> None:
    for segment in segments[:-1]:
        inner = mask.setdefault(segment, {})
        if inner is None:
            return
        mask = inner
    mask[segments[-1]] = None


def _masked(mask: Mask, path: Segments) -> bool:
    for segment in path:
        if segment not in mask:
            return False
        inner = mask[segment]
        if inner is None:
            return True
        mask = inner
    return False


def _subtree(path: Path, output: Path, mask: Mask) -> Step:
    """`a.*` to `b.*`: all below one place, copied to below another."""
    if _masked(mask, path.before):
        return lambda _row, _out, _writes: None
    for segment in path.before:
        mask = mask.get(segment) or _OPEN
    before, to = path.before, output.before

    def copied(row: Row, out: dict[str, Any], _: list[Write]) -> None:
        found = find(row.document if path.place == "payload" else row.records.get(path.alias), before)
        if type(found) is not dict:
            return
        for segment in to:
            inner = out.get(segment)
            if type(inner) is not dict:
                inner = out[segment] = {}
            out = inner
        _copy(found, out, mask)

    return copied


def _copy(source: dict[str, Any], target: dict[str, Any], mask: Mask) -> None:
    """All fields but those of the mask; objects of both are merged, and one that would stay empty is left out."""
    for key, value in source.items():
        inside = mask.get(key, _OPEN)
        if inside is None:
            continue
        if type(value) is not dict:
            target[key] = value
            continue
        inner = target.get(key)
        branch: dict[str, Any] = inner if type(inner) is dict else {}
        _copy(value, branch, inside)
        if branch or not value:
            target[key] = branch


def _each_field(rule: ParsedRule, output: Path, removed: Mask, rivals: Sequence[ParsedRule]) -> Step:
    """Any other wildcard: each field that the first input finds, by itself."""
    first, others, formula = rule.inputs[0].path, [*map(_capturing, rule.inputs[1:])], rule.formula
    exact = {rival.resolved(()) for rival in rivals if not rival.wildcard}
    stars = [rival for rival in rivals if rival.wildcard]

    def applied(row: Row, out: dict[str, Any], _: list[Write]) -> None:
        root = row.document if first.place == "payload" else row.records.get(first.alias)
        made = 0
        for captured, value in _found(root, first):
            own = rule.resolved(captured)
            if own in exact or any(_masked(removed, path) for path in own) or any(_same(star, own) for star in stars):
                continue
            values = [value, *(read(row, captured) for read in others)]
            if MISSING in values:
                continue
            result = detached(value) if formula is None else formula.of(values)
            made += len(result) if type(result) is str else 1
            if made > TEXT_MAX:
                raise NodeFault("expression", f"map rule {rule.number} makes more than fits into a message")
            if result is not None or formula is None:
                put(out, (*output.before, *captured, *output.after), result)

    return applied


def _same(rival: ParsedRule, own: frozenset[Segments]) -> bool:
    """Whether a more specific wildcard rule is about the same fields."""
    before, after = rival.fields[0].before, rival.fields[0].after
    for path in own:
        end = len(path) - len(after)
        fits = end > len(before) and path[: len(before)] == before and path[end:] == after
        if fits and rival.resolved(path[len(before) : end]) == own:
            return True
    return False


def _found(root: Any, path: Path) -> Iterator[tuple[Segments, Any]]:
    """What a wildcard stands for, with the value found: at its end, for every field that holds no others."""
    start = find(root, path.before)
    if type(start) is dict:
        yield from _below(start, (), path.after)


def _below(node: dict[str, Any], way: Segments, after: Segments) -> Iterator[tuple[Segments, Any]]:
    for key, value in node.items():
        captured = (*way, key)
        if len(captured) > CAPTURED_MAX:
            raise NodeFault("format", f"the payload is nested more than {CAPTURED_MAX} levels deep below a wildcard")
        holds = type(value) is dict and bool(value)
        if after:
            found = find(value, after)
            if found is not MISSING:
                yield captured, found
        elif not holds:
            yield captured, value
        if holds:
            yield from _below(value, captured, after)


def _capturing(given: InputPath) -> Callable[[Row, Segments], Any]:
    """Reads another input of a wildcard rule, with the same captured segments."""
    path = given.path
    if path.wildcard is None:
        read = reader(given)
        return lambda row, _: read(row)
    default = given.default if given.has_default else MISSING

    def captured(row: Row, segments: Segments) -> Any:
        root = row.document if path.place == "payload" else row.records.get(path.alias)
        found = find(root, (*path.before, *segments, *path.after))
        return default if found is MISSING else found

    return captured
