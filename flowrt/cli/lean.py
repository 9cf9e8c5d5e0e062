"""Parts of other packages that their start loads and a gateway does not use: they are loaded when somebody asks them
for something.

NumPy's documentation and names for types, and what paho needs for a proxy alone, are a tenth of what a start executes.
Nothing is left out: a module put off here is what it always was as soon as one of its names is looked up.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any


class _Any:
    """For annotations that nobody reads."""

    def __class_getitem__(cls, _item: Any) -> type[_Any]:
        return cls


PUT_OFF: dict[str, dict[str, Any]] = {
    "numpy._core._add_newdocs": {},
    "numpy._core._add_newdocs_scalars": {},
    "numpy._typing": {"NDArray": _Any},
    "msgspec.inspect": {},
    "msgspec.json": {},
    "msgspec.msgpack": {},
    "msgspec.toml": {},
    "msgspec.yaml": {},
    "urllib.request": {},
}
"""Modules, and names of theirs that are looked up in every start, with what will do for them."""

_lock = threading.RLock()


def put_off() -> None:
    """Do so with what is not imported yet, in this process. Safe to call twice."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class _Later(ModuleType):
    """A module that has not run."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        given = PUT_OFF[self.__name__]
        if name in given:
            return given[name]
        with _lock:
            if isinstance(self.__loader__, _Loader):
                self.__loader__.really(self)
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'") from None


class _Loader:
    """In the place of a module's own. (The base classes of `importlib.abc` would load eleven modules.)"""

    def __init__(self, spec: ModuleSpec, loader: Any) -> None:
        self._spec, self._loader = spec, loader

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Later(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Not now."""

    def really(self, module: ModuleType) -> None:
        module.__spec__, module.__loader__ = self._spec, self._loader  # first: it may import what asks it again
        self._loader.exec_module(module)
        module.__class__ = ModuleType


class _Finder:
    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path) if name in PUT_OFF else None
        if spec is None or spec.loader is None:
            return None
        places = spec.submodule_search_locations
        loader: Any = _Loader(spec, spec.loader)
        later = ModuleSpec(name, loader, origin=spec.origin, is_package=places is not None)
        later.submodule_search_locations = places
        return later
