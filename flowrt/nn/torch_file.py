"""What a TorchScript archive holds, looked at without the engine: whether it is one, and whether its code may run here.

Format: a zip archive (`torch.jit.save`) of the model's source in `code/`, the tensors in `data/`, and pickles that the
engine's own reader takes, which makes nothing but tensors and the types of that source. A file of `torch.save` is a
Python pickle instead, which runs whatever it says: those are refused unread.

TorchScript is a language with file operations. Its source stands in the archive as text, and names of operators cannot
be made up while it runs, so a look at the text finds every operator that reaches beyond the tensors.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
import zlib
from collections import Counter

from flowrt.nn.backend import Slot
from flowrt.nn.described import Described
from flowrt.nn.faults import ModelFault
from flowrt.nn.tensor_text import parse_slots

_BAD = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, KeyError,
    NotImplementedError, RuntimeError,
)  # fmt: skip
"""All that the zip reader raises over a broken archive."""
_MAX_MEMBERS = 100_000
_MAX_SOURCE = 64 * 2**20
_MAX_BLOW_UP = 64
"""The sources are compressed, and nothing else."""
_FORBIDDEN = re.compile(r"\b(from_file|save|load|read_file|write_file|_load_for\w*|rpc\w*|PythonOp|ignored_python)\b")
"""Operators that read or write files or leave the process, wherever the word stands as an operator's name."""
_OPERATOR = re.compile(r"\btorch\s*\.\s*(\w+)\s*\(|\bops\s*\.\s*(\w+)\s*\.\s*(\w+)\s*\(")
_NAMESPACES = {"aten", "prim", "quantized", "_quantized", "prepacked", "xnnpack"}
_EXPORTED = {"archive_format", "serialized_exported_program.json"}
"""What an archive of torch.export has: the former since PyTorch 2.7."""
_CLASSES = re.compile(r"__torch__\s*\.\s*torch\s*\.\s*classes\s*\.\s*(\w+)")
NOTE = "flowrt.json"
"""An extra file that `flowrt model convert` and users may put into an archive: what its tensors are."""


def read(data: bytes, label: str) -> Described:
    """Raises `ModelFault`: `invalid-encoding` for what is no TorchScript, `security` for code that may not run here."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return _described(archive, label, len(data))
    except _BAD as bad:
        raise ModelFault("invalid-encoding", f"'{label}' is no TorchScript archive: {bad}") from None


def _described(archive: zipfile.ZipFile, label: str, length: int) -> Described:
    members = archive.infolist()
    if len(members) > _MAX_MEMBERS or sum(member.file_size for member in members) > _MAX_BLOW_UP * length:
        raise ModelFault("too-large", f"'{label}' unpacks to far more than its {length} bytes")
    names = {member.filename.partition("/")[2]: member for member in members}
    if not any(name.startswith("code/") for name in names):
        if _EXPORTED & {*names, *archive.namelist()} or any(
            name.startswith("models/") and name.endswith(".json") for name in names
        ):
            raise ModelFault(
                "unsupported-operation",
                f"'{label}' is an archive of torch.export (.pt2), which only Python code can run; export ONNX from the "
                "same program with torch.onnx.export, or TorchScript with torch.jit.trace and torch.jit.save",
            )
        raise ModelFault(
            "security",
            f"'{label}' is a Python pickle (torch.save), which runs code as it loads; export TorchScript with "
            "torch.jit.save, or ONNX with torch.onnx.export",
        )
    operators = _operators(archive, names, label)
    inputs, outputs = _note(archive, names)
    size = sum(member.file_size for name, member in names.items() if name.startswith(("data/", "constants/")))
    version = archive.read(names["version"])[:20].decode("ascii", "replace").strip() if "version" in names else "?"
    return Described(
        inputs,
        outputs,
        version=f"TorchScript {version}",
        operators=operators,
        weights={"any type": size} if size else {},
    )


def _operators(archive: zipfile.ZipFile, names: dict[str, zipfile.ZipInfo], label: str) -> Counter[str]:
    found: Counter[str] = Counter()
    for name, member in names.items():
        if not name.startswith("code/") or not name.endswith(".py"):
            continue
        if member.file_size > _MAX_SOURCE:
            raise ModelFault("too-large", f"'{label}': {name} is source of {member.file_size} bytes")
        text = archive.read(member).decode("utf-8", "replace")
        for match in _OPERATOR.finditer(text):
            operator = match[1] or match[3]
            if match[2] and match[2] not in _NAMESPACES:
                raise ModelFault(
                    "unsupported-operation", f"'{label}' needs operators of '{match[2]}', which is not here"
                )
            found[operator] += 1
        for word in (*_FORBIDDEN.finditer(text), *_CLASSES.finditer(text)):
            if word.re is _CLASSES and word[1] in {"quantized", "xnnpack"}:
                continue
            raise ModelFault(
                "security",
                f"'{label}': {name} names '{word[1]}', which reaches beyond the model's tensors; such code is not run",
            )
    return found


def _note(archive: zipfile.ZipFile, names: dict[str, zipfile.ZipInfo]) -> tuple[tuple[Slot, ...], tuple[Slot, ...]]:
    """What the archive itself says of its tensors, where somebody put it there."""
    member = names.get(f"extra/{NOTE}")
    if member is None or member.file_size > 2**20:
        return (), ()
    note = json.loads(archive.read(member))
    if not isinstance(note, dict):
        raise ValueError(f"{NOTE} is not a JSON object")  # noqa: TRY004
    made = [parse_slots(map(str, note.get(key, ()))) for key in ("inputs", "outputs")]
    return made[0], made[1]
