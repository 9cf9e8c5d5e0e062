"""The loaded models of one process: each is loaded once, shared by all who name it, and released when none is left."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flowrt.graph.facts import ModelFacts
from flowrt.nn import encodings, onnx_file
from flowrt.nn.backend import Session, Source
from flowrt.nn.faults import ModelFault

if TYPE_CHECKING:
    from flowrt.graph.plan import ModelUse
    from flowrt.nn.layout import Layout
    from flowrt.nn.model import LoadedModel

Options = Mapping[str, Any]
_NO_OPTIONS: Options = {}
_Key = tuple[str, str, str, str]


class Handle:
    """One user's hold on a loaded model. Close it exactly when you are done; closing twice is safe."""

    def __init__(self, models: Models, key: _Key, entry: _Entry, session: Session) -> None:
        self.session = session
        self._models = models
        self._key = key
        self._entry = entry
        self._open = True

    def layout(self) -> Layout:
        """How rows become its tensors. The first call warms the model up, the others wait for it."""
        from flowrt.nn.probe import warm_up

        entry = self._entry
        with entry.lock:
            if entry.layout is None:
                entry.layout = warm_up(self.session)
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


class Models:
    """Any thread may use it. Loading one model keeps nobody from another."""

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._lock = threading.Lock()
        self._entries: dict[_Key, _Entry] = {}

    def rows(self, use: ModelUse) -> LoadedModel:
        """The model of an `inference` node, loaded and warm. Raises `ModelFault`."""
        from flowrt.nn.model import LoadedModel

        handle = self.open(use)
        try:
            return LoadedModel(handle.session, handle.layout(), handle.close)
        except BaseException:
            handle.close()
            raise

    def open(self, use: ModelUse, options: Options = _NO_OPTIONS) -> Handle:
        """A model by its file; `options` are a guest's, for the engines that know them, and make a session of their
        own. Raises `ModelFault`, also when the file is no longer the one that was checked."""
        facts = use.facts
        source = _from_file(facts)
        # Weights beside the file are not part of its digest: such models are shared within their folder only.
        alone = not onnx_file.names_files(source.parts[0])
        digest = facts.digest if alone else f"{facts.digest} {source.folder}"
        return self._hold((digest, facts.encoding, use.target, _spelt(options)), replace(source, options=options))

    def open_bytes(
        self, parts: Sequence[bytes], encoding: str, target: str = "cpu", options: Options = _NO_OPTIONS
    ) -> Handle:
        """A model that a guest brings, shared by digest with whoever has the same."""
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        name = "sha256:" + digest.hexdigest()
        source = Source(name[:19], tuple(parts), options=options)
        return self._hold((name, encoding, target, _spelt(options)), source)

    def memory_bytes(self) -> int:
        """An estimate of what all loaded models hold."""
        with self._lock:
            sessions = [entry.session for entry in self._entries.values()]
        return sum(session.memory_bytes() for session in sessions if session is not None)

    def __len__(self) -> int:
        with self._lock:
            return len(self._entries)

    def close(self) -> None:
        """Release every model, in use or not. Safe to call twice."""
        with self._lock:
            entries, self._entries = list(self._entries.values()), {}
        for entry in entries:
            _free(entry)

    def give_back(self, key: _Key, entry: _Entry) -> None:
        """One user less; for `Handle`."""
        with self._lock:
            entry.users -= 1
            if entry.users or self._entries.get(key) is not entry:
                return
            del self._entries[key]
        _free(entry)

    def _hold(self, key: _Key, source: Source) -> Handle:
        with self._lock:
            entry = self._entries.setdefault(key, _Entry())
            entry.users += 1
        try:
            with entry.lock:
                if entry.session is None:
                    entry.session = encodings.backend_for(key[1]).load(source, key[2], self._threads)
                return Handle(self, key, entry, entry.session)
        except BaseException:
            self.give_back(key, entry)
            raise


def _spelt(options: Options) -> str:
    return json.dumps(options, sort_keys=True, default=str)


def _free(entry: _Entry) -> None:
    with entry.lock:
        if entry.session is not None:
            entry.session.close()


def _from_file(facts: ModelFacts) -> Source:
    path = Path(facts.path)
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelFault("model-not-found", f"model {path} is gone") from None
    except OSError as error:
        raise ModelFault("runtime-error", f"model {path} cannot be read: {error.strerror}") from error
    digest = "sha256:" + hashlib.sha256(data).hexdigest()
    if digest != facts.digest:
        raise ModelFault("security", f"model {path} has changed since it was checked: {digest}, not {facts.digest}")
    return Source(path.name, (data,), path.parent, path)
