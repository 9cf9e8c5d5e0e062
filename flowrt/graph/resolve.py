"""Where a graph's modules and models lie. The one file of `graph/` that looks at a file system.

A module is named `[path/]name[:tag]`. Its file is `name-tag.wasm`, `name.wasm` or `name/name.wasm`, below `path` or
not, in a folder given by `--modules` or `FLOWRT_MODULES`, or in the nearest `modules/` at or above the graph's folder.
A name that ends in `.wasm` is a file relative to the graph's folder. A model's path is relative to the graph's folder.
"""

from __future__ import annotations

import hashlib
import os
import stat
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

from flowrt.graph.facts import ADDRESSES, Facts, LibraryFacts, Machine, ModelFacts, ModuleFacts, Unreadable
from flowrt.graph.graph import Graph
from flowrt.graph.model import Schema
from flowrt.graph.schemas import is_binary
from flowrt.message import Tensor
from flowrt.operators.guest_config import GuestOperation
from flowrt.operators.inference import InferenceOperation, ModelFile, ModelOptions
from flowrt.options import camel
from flowrt.values import Struct, field, replace

InspectModule = Callable[[Path], ModuleFacts | Unreadable]
InspectModel = Callable[[Path | str, str | None], ModelFacts | Unreadable]
"""Of a file, or of the address of a server's model, which is text."""
FOLDERS_MAX = 1000
"""Entries of a folder of modules that are looked at for a hint."""
SCHEMA_BYTES_MAX = 4 * 2**20
_ELF = b"\x7fELF"


class Stored(Struct, frozen=True):
    """What of a graph lies in the store rather than beside it."""

    modules: Mapping[str, Path] = field(default_factory=dict)
    """Files to take whatever lies in the folders, by name as the graph spells it: what ran before."""
    models: Mapping[str, Path] = field(default_factory=dict)
    """The same of models, by path as the graph spells it."""
    find: Callable[[str, str | None], Path | None] = lambda _name, _sha256: None
    """Looks for a module or a model that no folder has, by its name and, where the graph gives one, its digest."""


NOTHING_STORED = Stored()


def gather(
    graph: Graph,
    folders: Iterable[Path],
    inspect_module: InspectModule,
    inspect_model: InspectModel,
    machine: Machine | None,
    stored: Stored = NOTHING_STORED,
) -> Facts:
    """Look at every module and model that the graph names, each once for each way it is to be read."""
    home, folders = Path(graph.path).parent, list(folders)
    modules: dict[str, ModuleFacts | Unreadable] = {}
    for operation in graph.file.operations:
        if isinstance(operation, GuestOperation) and operation.module not in modules:
            found = _module(operation, home, folders, stored)
            modules[operation.module] = found if isinstance(found, Unreadable) else inspect_module(found)
    models: dict[str, ModelFacts | Unreadable] = {}
    for key, model in {model.key: model for model in models_of(graph)}.items():
        models[key] = _model(model, home, inspect_model, stored)
    for module in modules.values():
        for carried in module.models if isinstance(module, ModuleFacts) else ():
            models[carried.path] = inspect_model(Path(carried.path), carried.encoding)
    files = {path: why for _, path in files_of(graph) if (why := _unreadable(path)) is not None}
    return Facts(modules, models, machine, files, _schemas(graph, home), _libraries(graph, home, stored))


def files_of(graph: Graph) -> Iterator[tuple[tuple[str | int, ...], Path]]:
    """Certificates, keys and secrets that endpoints name, each with its place in the file."""
    for index, endpoint in enumerate(graph.file.endpoints):
        for group in ("tls", "credentials"):
            named = getattr(endpoint.options, group, None) if len(endpoint.kinds) == 1 else None
            for name, path in () if named is None else named:
                if isinstance(path, Path):
                    yield ("endpoints", index, endpoint.kinds[0], group, camel(name)), path


def _unreadable(path: Path) -> Unreadable | None:
    try:
        regular = stat.S_ISREG(path.stat().st_mode)  # not opened: it may be a pipe, which would not come back
    except (OSError, ValueError) as error:
        return Unreadable(getattr(error, "strerror", None) or str(error), missing=isinstance(error, FileNotFoundError))
    if not regular:
        return Unreadable("it is not a file")
    return None if os.access(path, os.R_OK) else Unreadable("permission denied")


def _schemas(graph: Graph, home: Path) -> dict[str, str | Unreadable]:
    """By file, the text of every schema that stands in one."""
    return {schema.file: _schema(home / schema.file, schema) for schema in graph.file.schemas if schema.file}


def _schema(path: Path, schema: Schema) -> str | Unreadable:
    try:
        data = path.read_bytes() if path.stat().st_size <= SCHEMA_BYTES_MAX else None
    except (OSError, ValueError) as error:
        return Unreadable(f"{path}: {getattr(error, 'strerror', None) or error}", missing=True)
    if data is None:
        return Unreadable(f"{path} has more than {SCHEMA_BYTES_MAX} bytes")
    if is_binary(schema.format):
        return b64encode(data).decode()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return Unreadable(f"{path} is not UTF-8 text")


def models_of(graph: Graph) -> list[ModelFile]:
    """Every model the graph names, as it names it, fallbacks included."""
    inline = [op.model for op in graph.file.operations if isinstance(op, InferenceOperation)]
    models = [*graph.file.models, *(model for model in inline if isinstance(model, ModelOptions))]
    return [*models, *(model.fallback for model in models if model.fallback is not None)]


def module_folders(graph_path: Path, given: Iterable[Path], environ: Mapping[str, str]) -> list[Path]:
    """Where to look for modules, in order."""
    folders = [*given, *(Path(part) for part in environ.get("FLOWRT_MODULES", "").split(os.pathsep) if part)]
    home = graph_path.absolute().parent
    near = next((folder / "modules" for folder in (home, *home.parents) if (folder / "modules").is_dir()), None)
    return folders if near is None else [*folders, near]


def bad_module_name(name: str) -> str | None:
    """What is wrong with a module's name, or None."""
    if name.startswith("/") or "\\" in name or "\0" in name:
        return "is not a relative name with / between its parts"
    if ".." in name.split("/"):
        return "leaves its folder with '..'"
    stem = name.rpartition("/")[2].partition(":")[0]
    return None if stem and stem != "." else "has no name before its tag"


def find_module(name: str, home: Path, folders: Iterable[Path]) -> Path | Unreadable:
    """The module's file, or where it was looked for."""
    if (wrong := bad_module_name(name)) is not None:
        return Unreadable(f"'{name}' {wrong}", missing=True)
    if name.endswith(".wasm"):
        candidates, places = [home / name], [home]
    else:
        places = list(folders)
        candidates = [folder / relative for folder in places for relative in _files(name)]
    for candidate in candidates:
        if _is_file(candidate):
            return candidate
    if not places:
        return Unreadable("no folder to look in: there is no modules/ at or above the graph's folder", missing=True)
    looked = ", ".join(dict.fromkeys(map(str, places)))
    files = _files(name) if not name.endswith(".wasm") else [name]
    below = _below(places, files)
    hint = f"; it is in {below}: add --modules {below}" if below else ""
    return Unreadable(f"looked in {looked} for {', '.join(files)}{hint}", missing=True)


def _below(places: Iterable[Path], files: Iterable[str]) -> Path | None:
    """The folder right below one of `places` that has one of `files`, as where one collection of modules lies beside
    others."""
    for place in places:
        try:
            inner = sorted(path for path in islice(place.iterdir(), FOLDERS_MAX) if path.is_dir())
        except OSError:
            continue
        for folder in inner:
            if any(_is_file(folder / file) for file in files):
                return folder
    return None


def _files(name: str) -> list[str]:
    """The files a name may mean, the most exact first."""
    path, _, last = name.rpartition("/")
    stem, _, tag = last.partition(":")
    own = [*([f"{stem}-{tag}.wasm"] if tag else []), f"{stem}.wasm", f"{stem}/{stem}.wasm"]
    return [*(f"{path}/{file}" for file in own if path), *own]


def _module(operation: GuestOperation, home: Path, folders: list[Path], stored: Stored) -> Path | Unreadable:
    if operation.module in stored.modules:
        return stored.modules[operation.module]
    found = find_module(operation.module, home, folders)
    if isinstance(found, Unreadable):
        return stored.find(operation.module, operation.sha256) or found
    return found


def _model(model: ModelFile, home: Path, inspect_model: InspectModel, stored: Stored) -> ModelFacts | Unreadable:
    """What the file says; where it does not say its tensors, what the user says of them."""
    found = _inspected(model, home, inspect_model, stored)
    if isinstance(found, Unreadable) or (found.inputs and found.outputs):
        return found
    inputs, outputs = (tuple(map(_tensor, written)) for written in (model.inputs, model.outputs))
    return replace(found, inputs=found.inputs or inputs, outputs=found.outputs or outputs)


def _tensor(text: str) -> Tensor:
    name, _, kind = (part.strip() for part in text.partition(":"))
    kind, _, dims = kind.removesuffix("]").partition("[")
    sizes = [dim.strip() for dim in dims.split(",") if dim.strip()]
    return Tensor(name, kind.strip(), tuple(int(dim) if dim.isdecimal() else -1 for dim in sizes))


def _inspected(model: ModelFile, home: Path, inspect_model: InspectModel, stored: Stored) -> ModelFacts | Unreadable:
    if model.path.startswith(ADDRESSES):
        return inspect_model(model.path, None)
    path = stored.models.get(model.path, home / model.path)
    if not _is_file(path):
        path = stored.find(model.path, getattr(model, "sha256", None)) or path
    if not _is_file(path):
        return Unreadable(f"there is no file {path}", missing=True)
    return inspect_model(path, model.encoding)


def _libraries(graph: Graph, home: Path, stored: Stored) -> dict[str, LibraryFacts | Unreadable]:
    paths = dict.fromkeys(library.path for model in models_of(graph) for library in model.custom_operators)
    return {path: _library(stored.models.get(path, home / path)) for path in paths}


def _library(path: Path) -> LibraryFacts | Unreadable:
    if not _is_file(path):
        return Unreadable(f"there is no file {path}", missing=True)
    try:
        with path.open("rb") as file:
            head = file.read(len(_ELF))
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return Unreadable(f"{path}: {error.strerror or error}")
    if head != _ELF:
        return Unreadable(f"{path} is no shared library of Linux")
    return LibraryFacts(str(path), f"sha256:{digest}")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except (OSError, ValueError):  # a name no file can have: too long, with a NUL
        return False
