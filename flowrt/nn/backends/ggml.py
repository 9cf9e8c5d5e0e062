"""Language models in GGUF on llama.cpp: the only file that imports its binding.

What guests meet are the conventions of WasmEdge: input 0 is the prompt and input 1, which may be left out, options as
JSON; output 0 is the text and output 1 JSON that counts the tokens. A model loaded with `embedding` makes a vector.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import llama_cpp
import numpy as np
from llama_cpp import _internals
from llama_cpp import llama as _high

from flowrt.nn import gguf_file
from flowrt.nn.backend import Array, AtOnce, Session, Slot, Source, Stream
from flowrt.nn.faults import ModelFault
from flowrt.nn.fits import check
from flowrt.nn.patience import check_patience

_ERRORS = (RuntimeError, ValueError, TypeError, MemoryError, OSError, IndexError, AssertionError)
_CONTEXT = 2048
"""Tokens of prompt and answer together, unless `ctx-size` says otherwise; never more than the model was trained for."""
_ALL_LAYERS = -1
_ERROR_LEVEL = 4
_DETAIL_MAX = 400
_LOOK_SECONDS = 0.05
_T = TypeVar("_T")
_said: deque[str] = deque(maxlen=8)
"""The last errors that the engine logged: its exceptions do not say why."""


class _Quiet:
    """In the place of the binding's own redirection, which points the whole process's output elsewhere for a while."""

    def __init__(self, disable: bool = True) -> None:  # noqa: FBT001, FBT002 the binding's signature
        del disable

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _log(level: int, text: bytes, _: object) -> None:
    if level == _ERROR_LEVEL:
        _said.append(text.decode("utf-8", "replace").strip())


_internals.suppress_stdout_stderr = _high.suppress_stdout_stderr = _Quiet
llama_cpp.llama_log_set(_log, ctypes.c_void_p(0))


class GgmlBackend:
    """Loads models into llama.cpp."""

    engine = f"llama.cpp ({llama_cpp.__version__} of its binding)"

    def targets(self) -> Mapping[str, str]:
        return {"cpu": "CPU", **({"gpu": "GPU"} if llama_cpp.llama_supports_gpu_offload() else {})}

    def load(self, source: Source, target: str, threads: int) -> Session:
        if len(source.parts) != 1:
            raise ModelFault("invalid-argument", f"'{source.label}': GGUF is one file, not {len(source.parts)}")
        devices = self.targets()
        if target not in devices:
            raise ModelFault(
                "unsupported-operation",
                f"model '{source.label}' asks for target {target}; this llama.cpp has {', '.join(devices.values())}",
            )
        length = source.path.stat().st_size if source.path is not None else None
        described = gguf_file.read(source.parts[0], source.label, length)
        trained = int(described.notes.get("context length", _CONTEXT))
        options = source.options
        room = min(max(_number(options, "ctx-size", int, _CONTEXT), 8), trained)
        _said.clear()
        try:
            with _path(source) as path:
                llama = llama_cpp.Llama(
                    path,
                    n_ctx=room,
                    n_batch=min(max(_number(options, "batch-size", int, 512), 8), 4096),
                    n_threads=threads,
                    n_threads_batch=threads,
                    n_gpu_layers=_ALL_LAYERS if target == "gpu" else 0,
                    seed=_number(options, "seed", int, llama_cpp.LLAMA_DEFAULT_SEED) & 0xFFFFFFFF,
                    embedding=_truth(options, "embedding"),
                    verbose=False,
                )
        except _ERRORS as error:
            why = " ".join(_said) or str(error)
            raise ModelFault("runtime-error", f"model '{source.label}' does not load: {why[:_DETAIL_MAX]}") from error
        return GgmlSession(source.label, llama, devices[target], options, described.parameter_bytes, room)


class GgmlSession(AtOnce):
    """One model in llama.cpp. It has one context: who makes text with it has it alone until the text's end."""

    trial = False

    def __init__(self, label: str, llama: Any, device: str, options: Mapping[str, Any], size: int, room: int) -> None:
        self.label, self.device = label, device
        self.room = room
        """Tokens of prompt and answer together; the engine rounds up, and would go beyond what was trained."""
        self.inputs: tuple[Slot, ...] = gguf_file.INPUTS
        self.outputs: tuple[Slot, ...] = gguf_file.OUTPUTS
        self._llama: Any = llama
        self._options = options
        self._size = size
        self._lock = threading.Lock()
        self._talking = False
        """Whether a stream holds the lock."""

    def run(self, arrays: Sequence[Array | None]) -> Sequence[Array]:
        check(self.label, self.inputs, arrays)
        # Runs take turns, each ends by itself; a text may be held for ever, by the caller's own other context at that.
        while not self._lock.acquire(timeout=_LOOK_SECONDS):
            check_patience(self.label)
            if self._talking:
                raise ModelFault("busy", f"model '{self.label}' makes text for somebody else")
        try:
            if _truth(self._options, "embedding"):
                return self._embedding(arrays)
            text = _Text(self, self._open(), arrays)
            pieces = []
            try:
                while (piece := text.next()) is not None:
                    pieces.append(piece)
            except ModelFault as fault:
                if fault.code != "context-full":
                    raise
            return [_octets(b"".join(pieces)), _octets(text.about())]
        finally:
            self._lock.release()

    def stream(self, arrays: Sequence[Array | None]) -> Stream | None:
        check(self.label, self.inputs, arrays)
        if not self._lock.acquire(blocking=False):
            raise ModelFault("busy", f"model '{self.label}' makes text for somebody else")
        self._talking = True
        try:
            return _Text(self, self._open(), arrays, self._quiet)
        except BaseException:
            self._quiet()
            raise

    def _quiet(self) -> None:
        self._talking = False
        self._lock.release()

    def memory_bytes(self) -> int:
        """The weights, and the keys and values of a full context in f16."""
        llama = self._llama
        return 0 if llama is None else self._size + 4 * llama.n_ctx() * llama.n_embd() * _layers(llama)

    def close(self) -> None:
        with self._lock:
            llama, self._llama = self._llama, None
            if llama is not None:
                llama.close()

    def options(self, given: Array | None) -> dict[str, Any]:
        """The model's own, and on top those that came with the prompt."""
        if given is None or not given.size:
            return dict(self._options)
        try:
            read = json.loads(given.tobytes())
        except (ValueError, RecursionError):
            read = None
        if not isinstance(read, dict):
            raise ModelFault("invalid-argument", f"model '{self.label}': its options are no JSON object")
        return {**self._options, **read}

    def _open(self) -> Any:
        if self._llama is None:
            raise ModelFault("runtime-error", f"model '{self.label}' was released")
        return self._llama

    def _embedding(self, arrays: Sequence[Array | None]) -> list[Array]:
        llama, prompt = self._open(), arrays[0]
        text = b"" if prompt is None else prompt.tobytes()
        tokens = llama.tokenize(text, add_bos=True, special=True)
        if len(tokens) > self.room:
            raise ModelFault("prompt-too-long", f"model '{self.label}': {len(tokens)} tokens; it has {self.room}")
        try:
            vector = llama.embed(text.decode("utf-8", "replace"), normalize=False)
        except _ERRORS as error:
            raise ModelFault("runtime-error", f"model '{self.label}': {error}") from error
        flat = np.asarray(vector, np.float32).reshape(-1, llama.n_embd()).mean(0)
        flat = flat / max(float(np.linalg.norm(flat)), 1e-12)
        made = {"n_embedding": int(flat.size), "embedding": [round(float(value), 9) for value in flat]}
        return [_octets(json.dumps(made).encode()), _octets(_about(len(tokens), 0))]


class _Text:
    """An answer as it is made."""

    def __init__(
        self,
        owner: GgmlSession,
        llama: Any,
        arrays: Sequence[Array | None],
        release: Callable[[], None] = lambda: None,
    ) -> None:
        prompt = arrays[0]
        options = owner.options(arrays[1])
        self._label, self._room = owner.label, owner.room
        self._llama = llama
        self._prompt = llama.tokenize(b"" if prompt is None else prompt.tobytes(), add_bos=True, special=True)
        if len(self._prompt) >= owner.room:
            raise ModelFault(
                "prompt-too-long",
                f"model '{self._label}': a prompt of {len(self._prompt)} tokens; there is room for {owner.room}",
            )
        self._most = _number(options, "n-predict", int, -1)
        self._stop = str(options.get("reverse-prompt") or "").encode()
        self._tokens = self._generate(options)
        self._made = 0
        self._text = b""
        self._release: Callable[[], None] | None = release

    def next(self) -> bytes | None:
        if self._release is None or 0 <= self._most <= self._made or (self._stop and self._text.endswith(self._stop)):
            self.close()
            return None
        if len(self._prompt) + self._made >= self._room:
            self.close()
            raise ModelFault("context-full", f"model '{self._label}': its {self._room} tokens are full")
        try:
            check_patience(self._label)
        except ModelFault:
            self.close()
            raise
        try:
            token = next(self._tokens)
        except _ERRORS as error:
            self.close()
            raise ModelFault("runtime-error", f"model '{self._label}': {' '.join(_said) or error}") from error
        if llama_cpp.llama_vocab_is_eog(self._llama._model.vocab, token):
            self.close()
            return None
        self._made += 1
        piece: bytes = self._llama.detokenize([token], prev_tokens=self._prompt, special=False)
        self._text = (self._text + piece)[-1024:]
        return piece

    def about(self) -> bytes:
        return _about(len(self._prompt), self._made)

    def close(self) -> None:
        release, self._release = self._release, None
        if release is not None:
            self._tokens.close()
            release()

    def _generate(self, options: Mapping[str, Any]) -> Any:
        return self._llama.generate(
            self._prompt,
            temp=_number(options, "temp", float, 0.8),
            top_k=_number(options, "top-k", int, 40),
            top_p=_number(options, "top-p", float, 0.95),
            min_p=_number(options, "min-p", float, 0.05),
            repeat_penalty=_number(options, "repeat-penalty", float, 1.0),
            presence_penalty=_number(options, "presence-penalty", float, 0.0),
            frequency_penalty=_number(options, "frequency-penalty", float, 0.0),
        )


@contextlib.contextmanager
def _path(source: Source) -> Iterator[str]:
    """The model's file; bytes get one in memory, without a name, which is gone when the engine has mapped it."""
    if source.path is not None:
        yield str(source.path)
        return
    file = os.memfd_create("model")
    try:
        with os.fdopen(os.dup(file), "wb") as writer:
            writer.write(source.parts[0])
        yield f"/proc/self/fd/{file}"
    finally:
        os.close(file)


def _number(options: Mapping[str, Any], name: str, kind: Callable[[Any], _T], default: _T) -> _T:
    """An option; guests write numbers as numbers or as text."""
    try:
        return default if options.get(name) is None else kind(options[name])
    except (TypeError, ValueError, OverflowError):
        raise ModelFault("invalid-argument", f"option {name} is {str(options[name])[:40]!r}, no number") from None


def _truth(options: Mapping[str, Any], name: str) -> bool:
    return options.get(name) in {True, "true", "True"}


def _octets(data: bytes) -> Array:
    return np.frombuffer(data, np.uint8)


def _about(before: int, after: int) -> bytes:
    """As WasmEdge's guests expect it; they read the commit and the build number and make nothing of them."""
    known = {"llama_commit": "", "llama_build_number": 0}
    return json.dumps({"input_tokens": before, "output_tokens": after, **known}).encode()


def _layers(llama: Any) -> int:
    return int(llama_cpp.llama_model_n_layer(llama._model.model))
