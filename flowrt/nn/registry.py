"""The loaded models of one process: each is loaded once, shared by all who name it, and released when nobody does.

What the last user gives back stays loaded for a while, in case it comes again (a guest that loads its model for every
message, a graph that is replaced by its next version): the least recently used goes first when there are too many.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar

from flowrt.counters import RegistryCounters
from flowrt.nn import encodings, files, onnx_file
from flowrt.nn.backend import Session, Slot, Source
from flowrt.nn.faults import ModelFault
from flowrt.nn.tensor_text import parse_slots, slot_of
from flowrt.values import replace

if TYPE_CHECKING:
    from flowrt.graph.facts import LibraryFacts, ModelFacts
    from flowrt.graph.plan import ModelUse
    from flowrt.message import Tensor
    from flowrt.nn.fallback import Choice, FallbackModel, FallbackSession
    from flowrt.nn.layout import Layout
    from flowrt.nn.model import LoadedModel
    from flowrt.nn.text_rows import StringModel, TextModel

    RowModel: TypeAlias = LoadedModel | StringModel | TextModel | FallbackModel

IDLE_MODELS = 8
"""Models that nobody uses and that stay loaded."""
IDLE_BYTES = 64 * 2**20
"""What those hold together at most; larger ones are released at once."""

Options = Mapping[str, Any]
_NO_OPTIONS: Options = {}
_SILENT = {encodings.REMOTE, "pytorch"}
"""What does not say its tensors itself."""
_Key = tuple[str, str, str, str]
_Loaded = TypeVar("_Loaded", bound="_Loadable")


class Handle:
    """One user's hold on a loaded model. Close it exactly when you are done; closing twice is safe."""

    def __init__(self, models: Models, key: _Key, entry: _Entry, session: Session) -> None:
        self.session = session
        self.label = session.label
        self._models = models
        self._key = key
        self._entry = entry
        self._open = True

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        return tuple(slot.tensor for slot in self.session.inputs)

    @property
    def outputs(self) -> tuple[Tensor, ...]:
        return tuple(slot.tensor for slot in self.session.outputs)

    def layout(self) -> Layout:
        """How rows become its tensors. The first call warms the model up, the others wait for it."""
        from flowrt.nn.layout import layout_of
        from flowrt.nn.probe import warm_up

        session = self.session
        entry = self._entry
        with entry.lock:
            if entry.layout is None:
                told = layout_of(session.label, session.inputs, session.outputs)
                entry.layout = warm_up(session) if session.trial else told
            return entry.layout

    def close(self) -> None:
        if self._open:
            self._open = False
            self._models.give_back(self._key, self._entry)


class _Entry:
    """A model that is loaded, or being loaded by whoever holds the lock."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.users = 0
        self.session: Session | None = None
        self.layout: Layout | None = None


class FallbackHandle:
    """One user's hold on a model and its fallback, as `Handle`."""

    def __init__(self, session: FallbackSession, handles: Sequence[Handle]) -> None:
        self.session = session
        self._handles = handles

    def layout(self) -> Layout:
        """Warm both up."""
        layouts = [handle.layout() for handle in self._handles]
        return layouts[0]

    def close(self) -> None:
        for handle in self._handles:
            handle.close()


class _Loadable(Protocol):
    @property
    def label(self) -> str: ...

    @property
    def inputs(self) -> Sequence[Tensor]: ...

    @property
    def outputs(self) -> Sequence[Tensor]: ...

    def close(self) -> None: ...


class Models:
    """Any thread may use it. Loading one model keeps nobody from another."""

    def __init__(
        self,
        threads: int = 1,
        idle_models: int = IDLE_MODELS,
        idle_bytes: int = IDLE_BYTES,
        counters: RegistryCounters | None = None,
    ) -> None:
        self.counters = RegistryCounters() if counters is None else counters
        self._threads = threads
        self._idle_models, self._idle_bytes = idle_models, idle_bytes
        self._lock = threading.Lock()
        self._entries: dict[_Key, _Entry] = {}
        self._idle: OrderedDict[_Key, int] = OrderedDict()
        """What nobody uses, the least recently used first, with its bytes."""

    def rows(
        self, use: ModelUse, *, room: int | None = None, report: Callable[[str], None] = lambda _: None
    ) -> RowModel:
        """The model of an `inference` node, loaded and warm; where it has a fallback, both. `room` is what it may hold
        in bytes, and `report` takes what becomes of a fallback. Raises `ModelFault`."""
        if use.fallback is None:
            return self._rows(use)
        from flowrt.nn.fallback import FallbackModel, choice_for

        choice = choice_for(use, report)
        primary, secondary = self._both(use, use.fallback, self._rows, room, choice)
        return FallbackModel(primary, secondary, choice)

    def named(
        self,
        use: ModelUse,
        options: Options = _NO_OPTIONS,
        *,
        room: int,
        choice: Choice | None,
    ) -> Handle | FallbackHandle:
        """A model for a guest that loads it by name, as `open`; where it has a fallback, both, as `rows`, and the
        node's `choice` between them."""
        if use.fallback is None or choice is None:
            return self.open(use, options)
        from flowrt.nn.fallback import FallbackSession

        def open_(wanted: ModelUse, most: int | None = None) -> Handle:
            handle = self.open(wanted, options if wanted is use else _NO_OPTIONS)
            try:
                _check_room(handle.session, most)
            except BaseException:
                handle.close()
                raise
            return handle

        primary, secondary = self._both(use, use.fallback, open_, room, choice)
        handles = [handle for handle in (primary, secondary) if handle is not None]
        session = FallbackSession(primary.session if primary else None, secondary.session, choice)
        return FallbackHandle(session, handles)

    def _both(
        self,
        use: ModelUse,
        fallback: ModelUse,
        load: Callable[..., _Loaded],
        room: int | None,
        choice: Choice,
    ) -> tuple[_Loaded | None, _Loaded]:
        """A model, where it runs here, and its fallback; `choice` is told what the first lacks."""
        from flowrt.nn.fallback import check_same, reason_of

        primary = None
        try:
            primary = load(use, room)
        except ModelFault as fault:
            choice.lacking = reason_of(fault)
            if choice.lacking is None:
                raise
            where = f"does not run here ({choice.lacking}); its fallback does"
            choice.report(f"model '{use.facts.path}' {where}: {fault.detail}")
        # A server's model takes and makes what the model does for which it stands.
        told = replace(fallback.facts, inputs=use.facts.inputs, outputs=use.facts.outputs)
        away = fallback.facts.encoding == encodings.REMOTE
        secondary = None
        try:
            secondary = load(replace(fallback, facts=told) if away else fallback)
            if primary is not None:
                check_same(primary.inputs, secondary.inputs, primary.label, "takes")
                check_same(primary.outputs, secondary.outputs, primary.label, "makes")
        except BaseException:
            for loaded in (primary, secondary):
                if loaded is not None:
                    loaded.close()
            raise
        return primary, secondary

    def _rows(self, use: ModelUse, room: int | None = None) -> LoadedModel | StringModel | TextModel:
        handle = self.open(use)
        try:
            _check_room(handle.session, room)
            return _row_model(handle)
        except BaseException:
            handle.close()
            raise

    def open(self, use: ModelUse, options: Options = _NO_OPTIONS) -> Handle:
        """A model by its file; `options` are a guest's, for the engines that know them, and make a session of their
        own. Raises `ModelFault`, also when the file is no longer the one that was checked."""
        source = source_of(use, options)
        facts = use.facts
        digest = facts.digest or facts.path
        if facts.encoding == "onnx" and onnx_file.names_files(source.parts[0]):
            # Weights beside the file are not part of its digest: such models are shared within their folder only.
            digest = f"{digest} {source.folder}"
        return self._hold((digest, facts.encoding, use.target, _spelt(source)), source)

    def open_bytes(
        self, parts: Sequence[bytes], encoding: str, target: str = "cpu", options: Options = _NO_OPTIONS
    ) -> Handle:
        """A model that a guest brings, shared by digest with whoever has the same. Raises `ModelFault`.

        Most engines trust a model with their process; a model that is new here is first run where it can end none but
        a child of ours (`vet.py`)."""
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        name = "sha256:" + digest.hexdigest()
        source = Source(name[:19], tuple(parts), options=options)
        return self._hold((name, encoding, target, _spelt(source)), source)

    def memory_bytes(self) -> int:
        """An estimate of what all loaded models hold, those that nobody uses included."""
        with self._lock:
            sessions = [entry.session for entry in self._entries.values()]
        return sum(session.memory_bytes() for session in sessions if session is not None)

    def __len__(self) -> int:
        """Models in use."""
        with self._lock:
            return len(self._entries) - len(self._idle)

    def idle(self) -> int:
        """Models that nobody uses and that are still loaded."""
        with self._lock:
            return len(self._idle)

    def close(self) -> None:
        """Release every model, in use or not. Safe to call twice."""
        with self._lock:
            entries, self._entries = list(self._entries.values()), {}
            self._idle.clear()
        for entry in entries:
            _free(entry)

    def give_back(self, key: _Key, entry: _Entry) -> None:
        """One user less; for `Handle`."""
        with self._lock:
            entry.users -= 1
            if entry.users or self._entries.get(key) is not entry:
                return
            if entry.session is None:  # it did not load
                del self._entries[key]
                return
            size = entry.session.memory_bytes()
            if size > self._idle_bytes:
                leaving = [self._entries.pop(key)]
            else:
                self._idle[key] = size
                leaving = self._shrink()
            self.counters.evicted += len(leaving)
        for left in leaving:
            _free(left)

    def _shrink(self) -> list[_Entry]:
        """Take what is too much out of the idle ones."""
        leaving: list[_Entry] = []
        while len(self._idle) > self._idle_models or sum(self._idle.values()) > self._idle_bytes:
            key, _ = self._idle.popitem(last=False)
            leaving.append(self._entries.pop(key))
        return leaving

    def _hold(self, key: _Key, source: Source) -> Handle:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            entry.users += 1
            self._idle.pop(key, None)
        try:
            with entry.lock:
                if entry.session is None:
                    entry.session = self._load(key, source)
                else:
                    self._count(shared=1)
                return Handle(self, key, entry, entry.session)
        except BaseException:
            self.give_back(key, entry)
            raise

    def _load(self, key: _Key, source: Source) -> Session:
        if source.path is None and key[1] in encodings.TRUSTING:
            from flowrt.nn.vet import vet

            vet(source, key[0], key[1], key[2])
        session = encodings.backend_for(key[1]).load(source, key[2], self._threads)
        self._count(loads=1)
        return session

    def _count(self, loads: int = 0, shared: int = 0) -> None:
        with self._lock:
            self.counters.loads += loads
            self.counters.shared += shared


def _check_room(session: Session, room: int | None) -> None:
    size = session.memory_bytes()
    if room is not None and size > room:
        raise ModelFault("too-large", f"model '{session.label}' holds {size} bytes, and the node has {room}")


def _row_model(handle: Handle) -> LoadedModel | StringModel | TextModel:
    """What fits the model's tensors."""
    session = handle.session
    slots = (*session.inputs, *session.outputs)
    if any(slot.form == "open" for slot in session.inputs):
        raise ModelFault(
            "invalid-argument",
            f"model '{session.label}' does not say what its tensors are; declare them: inputs: ['x: f32[N, 16]']",
        )
    if any(slot.form == "text" for slot in slots):
        from flowrt.nn.text_rows import TextModel

        return TextModel(session, handle.layout(), handle.close)
    if any(slot.type == "string" for slot in slots):
        from flowrt.nn.text_rows import StringModel

        return StringModel(session, handle.layout(), handle.close)
    from flowrt.nn.model import LoadedModel

    return LoadedModel(session, handle.layout(), handle.close)


def source_of(use: ModelUse, options: Options = _NO_OPTIONS) -> Source:
    """The files or the address behind a use. Raises `ModelFault`."""
    facts, written = use.facts, use.options
    inputs, outputs = _declared(use) if facts.encoding in _SILENT else ((), ())
    options = {**(written.options if written else {}), **options}
    if facts.encoding == encodings.REMOTE:
        timeout = written.timeout if written else 5.0
        parts = (facts.path.encode(),)
        return Source(facts.path, parts, None, None, {**options, "timeout": timeout}, inputs, outputs)
    path = Path(facts.path)
    libraries = tuple(map(_library, use.libraries))
    return Source(path.name, _contents(facts, path), path.parent, path, options, inputs, outputs, libraries)


def _declared(use: ModelUse) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """As written, with the names of free dimensions; else as the facts have it from the model it stands for."""
    written = use.options
    inputs = parse_slots(written.inputs if written else ()) or tuple(map(slot_of, use.facts.inputs))
    outputs = parse_slots(written.outputs if written else ()) or tuple(map(slot_of, use.facts.outputs))
    return inputs, outputs


def _contents(facts: ModelFacts, path: Path) -> tuple[bytes, ...]:
    found = files.read(path, facts.encoding)
    if found.digest != facts.digest:
        raise ModelFault(
            "security", f"model {path} has changed since it was checked: {found.digest}, not {facts.digest}"
        )
    return found.parts


def _library(facts: LibraryFacts) -> Path:
    path = Path(facts.path)
    try:
        with path.open("rb") as file:
            digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelFault("model-not-found", f"library {path} cannot be read: {error.strerror or error}") from error
    if digest != facts.digest:
        raise ModelFault("security", f"library {path} has changed since it was checked: {digest}, not {facts.digest}")
    return path


def _spelt(source: Source) -> str:
    """What makes two sessions of one model differ."""
    return json.dumps(source.options, sort_keys=True, default=str) + "".join(
        map(str, (*source.inputs, *source.outputs, *source.libraries))
    )


def _free(entry: _Entry) -> None:
    with entry.lock:
        if entry.session is not None:
            entry.session.close()
