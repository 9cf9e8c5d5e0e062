"""YAML text as a tree that remembers where everything stands.

We read YAML's events and resolve plain words by the YAML 1.2 core schema ourselves, because PyYAML's loaders lose
positions, keep the last of duplicate keys silently, and follow YAML 1.1, in which `on`, `012` and `1:30` are True, 10
and 90. Words on which the two versions disagree are problems. Aliases share the node they name; what the tree would
hold with every alias written out is bounded.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NoReturn

import yaml

from flowrt.graph.tree import START, Entry, Mapping, Mark, Node, Scalar, Sequence, describe
from flowrt.graph.words import ambiguous, resolve
from flowrt.problem import Problem
from flowrt.values import Struct, field

MAX_BYTES = 4 * 2**20
"""A graph of a thousand operations has 200 KiB."""
MAX_DEPTH = 64
MAX_NODES = 100_000

_Parser = getattr(yaml, "CParser", yaml.Loader)
"""libyaml where PyYAML was built with it (every wheel is): ten times faster."""


def parse(data: bytes, path: str) -> tuple[Mapping | None, list[Problem]]:
    """The tree of a file's bytes; None when there is no use in going on. Raises nothing."""
    reader = _Reader(path)
    text = reader.decode(data)
    root = None if text is None else reader.read(text)
    if root is not None and not isinstance(root, Mapping):
        reader.report(
            root.mark, "empty-file", f"the file holds {describe(root)}, not a graph; begin with `operations:`"
        )
        root = None
    return root, reader.problems


class _Stop(Exception):
    """Reading on makes no sense; the problem is reported."""


class _Open(Struct):
    """A list or mapping whose end has not come. In a mapping, nodes are keys and values by turns."""

    mark: Mark
    anchor: str | None
    items: list[Node] | None
    entries: dict[str, Entry] = field(default_factory=dict)
    key: Scalar | None = None
    key_due: bool = True
    skipped: bool = False
    """The key now open is not kept: its value is read and dropped."""
    size: int = 1
    depth: int = 1

    def close(self) -> Sequence | Mapping:
        if self.items is not None:
            return Sequence(self.mark, tuple(self.items), self.size, self.depth)
        return Mapping(self.mark, self.entries, self.size, self.depth)


class _Reader:
    """Turns events into a tree, collecting problems."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.problems: list[Problem] = []
        self._anchors: dict[str, Node | None] = {}
        """None while the anchored node is still open."""
        self._stack: list[_Open] = []
        self._root: Node | None = None
        self._nodes = 0

    def report(self, mark: Mark, code: str, message: str) -> None:
        self.problems.append(Problem(self.path, mark.line, mark.column, code, message))

    def decode(self, data: bytes) -> str | None:
        if len(data) > MAX_BYTES:
            self.report(START, "file-too-large", f"the file has {len(data)} bytes; a graph may have {MAX_BYTES}")
            return None
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            before = data[: error.start].decode("utf-8", "replace")
            self.report(
                _mark_after(before), "not-utf8", f"byte 0x{data[error.start]:02x} is not UTF-8; save the file as UTF-8"
            )
            return None
        if bad := re.search("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", text):
            mark = _mark_after(text[: bad.start()])
            self.report(mark, "not-utf8", f"the control character U+{ord(bad[0]):04X} may not stand in YAML; remove it")
            return None
        return text

    def read(self, text: str) -> Node | None:
        try:
            for event in _events(text):
                self._take(event)
        except _Stop:
            return None
        except yaml.YAMLError as error:
            self._syntax(error, text)
            return None
        if self._root is None or (isinstance(self._root, Scalar) and self._root.value is None):
            self.report(
                START, "empty-file", "the file holds no graph; begin with `metadata`, `operations` and `connections`"
            )
            return None
        return self._root

    def _syntax(self, error: yaml.YAMLError, text: str) -> None:
        found = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        mark = _mark(found) if found else START
        lines = text.splitlines()
        line = lines[mark.line - 1] if mark.line <= len(lines) else ""
        if "\t" in line[: len(line) - len(line.lstrip())]:
            column = line.index("\t") + 1
            self.report(Mark(mark.line, column), "yaml-tab", "a tab stands in the indentation; indent with spaces")
            return
        if "${" in line:
            message = 'quote "${NAME}" where it stands inside { } or [ ], whose braces would end there'
            self.report(mark, "yaml-syntax", message)
            return
        what = getattr(error, "problem", None) or getattr(error, "reason", None) or "this is not YAML"
        context = getattr(error, "context", None)
        self.report(
            mark, "yaml-syntax", f"{what}{f' ({context})' if context else ''}; look here and at the line before"
        )

    def _take(self, event: yaml.Event) -> None:
        mark = _mark(event.start_mark)
        if isinstance(event, yaml.ScalarEvent):
            self._add(self._anchored(event.anchor, self._scalar(event, mark)), mark)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event, mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            done = self._stack.pop()
            self._add(self._anchored(done.anchor, done.close()), done.mark)
        elif isinstance(event, yaml.AliasEvent):
            self._add(self._aliased(event.anchor or "", mark), mark)
        elif isinstance(event, yaml.DocumentStartEvent) and self._root is not None:
            self.report(mark, "yaml-documents", "a second document begins here; put it into a file of its own")
            raise _Stop

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> Scalar:
        text: str = event.value
        bare = event.style is None and event.tag is None
        if event.tag not in {None, "!", "tag:yaml.org,2002:str"}:
            self.report(mark, "yaml-tag", f"the tag {event.tag} means nothing here; leave it out")
        if bare and (meaning := ambiguous(text)):
            remedy = {"a truth value": "write true or false"}.get(meaning, "write it otherwise")
            self.report(
                mark,
                "yaml-ambiguous",
                f'some YAML readers take {text} for {meaning}, others do not; quote it as "{text}" if it is '
                f"text, or {remedy}",
            )
        return Scalar(mark, resolve(text) if bare else text, text, plain=bare)

    def _open(self, event: yaml.CollectionStartEvent, mark: Mark) -> None:
        if len(self._stack) >= MAX_DEPTH:
            self._too_deep(mark)
        if event.tag not in {None, "!", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"}:
            self.report(mark, "yaml-tag", f"the tag {event.tag} means nothing here; leave it out")
        if event.anchor:
            self._anchors[event.anchor] = None
        items: list[Node] | None = [] if isinstance(event, yaml.SequenceStartEvent) else None
        self._stack.append(_Open(mark, event.anchor, items))

    def _too_deep(self, mark: Mark) -> NoReturn:
        self.report(mark, "yaml-too-deep", f"values are nested more than {MAX_DEPTH} levels deep; flatten them")
        raise _Stop

    def _anchored(self, anchor: str | None, node: Node) -> Node:
        if anchor:
            self._anchors[anchor] = node
        return node

    def _aliased(self, anchor: str, mark: Mark) -> Node:
        node = self._anchors.get(anchor)
        if node is None:
            where = "stands inside the value it names" if anchor in self._anchors else "has no anchor before it"
            self.report(mark, "yaml-alias", f"*{anchor} {where}; write the value out")
            return Scalar(mark, None, f"*{anchor}")
        return node

    def _add(self, node: Node, mark: Mark) -> None:
        """Put a finished node where it belongs: `mark` is where it stands here, which for an alias is not the
        node's."""
        if not self._stack:
            self._root = node
            return
        parent = self._stack[-1]
        parent.size += node.size
        parent.depth = max(parent.depth, node.depth + 1)
        if len(self._stack) + node.depth > MAX_DEPTH:
            self._too_deep(mark)
        if parent.size > MAX_NODES:
            self.report(
                mark, "yaml-too-many", f"with its aliases written out the file holds more than {MAX_NODES} values"
            )
            raise _Stop
        if parent.items is not None:
            parent.items.append(node)
        elif parent.key_due:
            self._key(parent, node, mark)
        else:
            if parent.key is not None and not parent.skipped:
                parent.entries[parent.key.text] = Entry(parent.key.mark, node)
            parent.key_due = True

    def _key(self, parent: _Open, node: Node, mark: Mark) -> None:
        parent.key, parent.key_due, parent.skipped = None, False, True
        if not isinstance(node, Scalar):
            self.report(mark, "yaml-key", f"{describe(node)} cannot be a key; a key is one word of text")
        elif node.text == "<<" and node.plain:
            self.report(mark, "yaml-merge", "merge keys are not taken; write the fields out")
        elif first := parent.entries.get(node.text):
            self.report(
                mark,
                "duplicate-key",
                f"the key '{node.text}' stands here a second time, first in line {first.mark.line}; remove one",
            )
        else:
            parent.key, parent.skipped = Scalar(mark, node.text, node.text), False


def _events(text: str) -> Iterator[yaml.Event]:
    parser = _Parser(text)
    try:
        while parser.check_event():
            yield parser.get_event()
    finally:
        parser.dispose()


def _mark(mark: Any) -> Mark:
    return START if mark is None else Mark(mark.line + 1, mark.column + 1)


def _mark_after(text: str) -> Mark:
    return Mark(text.count("\n") + 1, len(text) - (text.rfind("\n") + 1) + 1)
