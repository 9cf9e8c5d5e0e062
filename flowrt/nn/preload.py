"""`NAME=ENCODING[@TARGET]:PATH[,PATH]`: a model that a command may load by name.

A path may be a folder with a model named `model`, as Wasmtime's users have it. A file that is not there is no mistake
yet: the guest that asks for it is told so, as in WasmEdge.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from flowrt.errors import StartError
from flowrt.graph.facts import ModelFacts, Unreadable
from flowrt.graph.plan import ModelUse
from flowrt.nn import encodings
from flowrt.operators.inference import ModelFile
from flowrt.problem import nearest
from flowrt.values import Struct

_TARGETS = ("cpu", "gpu", "tpu", "npu")
_DEFAULT_TARGETS = ("", "auto")
_NAMES = {
    "openvino": ("model.xml",),
    "onnx": ("model.onnx",),
    "pytorch": ("model.pt", "model.pth"),
    "tensorflowlite": ("model.tflite",),
    "ggml": ("model.gguf",),
}
"""What a model is called in a folder of its own."""


class Preload(Struct, frozen=True):
    """What was asked for, in our spelling."""

    name: str
    encoding: str
    target: str
    path: Path
    weights: Path | None = None


def parse(text: str) -> Preload:
    """Raises ValueError with the remedy."""
    name, equals, rest = text.partition("=")
    kind, colon, files = rest.partition(":")
    encoding, _, target = kind.partition("@")
    paths = files.split(",")
    if not (name and equals and encoding and colon and all(paths)):
        raise ValueError(f"'{text}' is not NAME=ENCODING[@TARGET]:PATH[,PATH], as in detector=onnx:model.onnx")
    target = target.lower()
    if target not in _TARGETS and target not in _DEFAULT_TARGETS:
        raise ValueError(f"'{target}' is no target{nearest(target, _TARGETS)}; there are {', '.join(_TARGETS)}")
    if len(paths) > 2:
        raise ValueError(f"'{text}' has {len(paths)} paths; a model has one, or two where weights are apart")
    return Preload(
        name,
        encodings.spell(encoding.lower()),
        "cpu" if target in _DEFAULT_TARGETS else target,
        Path(paths[0]),
        Path(paths[1]) if len(paths) == 2 else None,
    )


Option = str | int | float | bool
_NO_OPTIONS: Mapping[str, Option] = {}


def parse_option(text: str) -> tuple[str, str, Option]:
    """`NAME:KEY=VALUE` as model, option and value: a number or a truth value where it reads as one. Raises ValueError
    with the remedy."""
    name, colon, rest = text.partition(":")
    key, equals, value = rest.partition("=")
    if not (name and colon and key and equals):
        raise ValueError(f"'{text}' is not NAME:KEY=VALUE, as in default:ctx-size=2048")
    try:
        read: Any = json.loads(value)
    except (ValueError, RecursionError):
        read = value
    return name, key, read if isinstance(read, (int, float, bool)) else value


def use_of(
    preload: Preload,
    inspect: Callable[[Path, str | None], ModelFacts | Unreadable],
    options: Mapping[str, Option] = _NO_OPTIONS,
) -> tuple[ModelUse, str]:
    """The model as a guest uses it, and a warning or nothing. Raises StartError for a file that is no such model, and
    for a signature that it does not have."""
    path = _in_folder(preload)
    if preload.weights is not None and preload.weights.absolute() != path.with_suffix(".bin").absolute():
        expected = path.with_suffix(".bin")
        raise StartError(f"--nn {preload.name}: the weights of {path} are looked for in {expected}; rename them")
    facts = inspect(path, preload.encoding)
    written = ModelFile(path=str(path), options=dict(options)) if options else None
    if isinstance(facts, ModelFacts):
        if (fault := facts.unsigned(options)) is not None:
            raise StartError(f"--nn-option {preload.name}: {fault}")
        return ModelUse(preload.name, facts.signed(options), preload.target, written), ""
    if not facts.missing:
        raise StartError(f"--nn {preload.name}: {facts.reason}")
    absent = ModelFacts(str(path), "", preload.encoding, (), (), 0)
    return ModelUse(preload.name, absent, preload.target), f"--nn {preload.name}: {facts.reason}; the guest is told so"


def _in_folder(preload: Preload) -> Path:
    if not preload.path.is_dir():
        return preload.path
    known = _NAMES.get(preload.encoding, tuple(name for names in _NAMES.values() for name in names))
    found = [preload.path / name for name in known if (preload.path / name).is_file()]
    if len(found) != 1:
        raise StartError(f"--nn {preload.name}: {preload.path} is a folder without one of {', '.join(known)}")
    return found[0]
