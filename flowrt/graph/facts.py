"""What the checks need to know of the world, gathered by `inspect` steps at the edges (`wasm/inspect.py`,
`nn/inspect.py`) and handed in as data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Protocol

from flowrt.message import Tensor
from flowrt.problem import nearest
from flowrt.values import Struct, field, replace

ADDRESSES = ("http://", "https://", "grpc://", "grpcs://")
"""How the path of a model begins that a server has."""
ModuleForm = Literal["core", "component", "command"]


class EmbeddedModel(Struct, frozen=True):
    """A model that a module carries with it, brought to a file."""

    name: str
    """The name it is loaded by."""
    encoding: str
    path: str


class ModuleFacts(Struct, frozen=True):
    """What a .wasm file says of itself, read from its bytes without running it."""

    path: str
    digest: str
    """`sha256:` and 64 hexadecimal digits."""
    form: ModuleForm
    exports: Mapping[str, str]
    """Name to signature, as `(i32, i32) -> (i32)`, `memory`, `table` or `global`; a component's instances are
    `instance`."""
    imports: tuple[tuple[str, str, str], ...]
    """Module, name, signature; a component's are interface, empty, empty."""
    memory_bytes: int = 0
    """Linear memory it asks for before it does anything."""
    inputs: tuple[Tensor, ...] = ()
    """The tensors its `map` expects, when its `flowrt` section declares them."""
    outputs: tuple[Tensor, ...] = ()
    """The tensors its `map` makes, likewise."""
    models: tuple[EmbeddedModel, ...] = ()
    """The models it carries."""
    properties: tuple[tuple[str, str], ...] = ()
    """Parameters it carries: what its `init` is given where the graph gives no others."""


class ModelFacts(Struct, frozen=True):
    """What a model file says of itself."""

    path: str
    digest: str
    encoding: str
    """As in WIT: `onnx`, `tensorflowlite`, …; `remote` for one that a server has."""
    inputs: tuple[Tensor, ...]
    """A free dimension is -1."""
    outputs: tuple[Tensor, ...]
    parameter_bytes: int
    """Size of its weights: the plan gives heavy models a stage of their own."""
    no_engine: str = ""
    """Where this machine has no engine for it: why, and what to type."""
    signatures: Mapping[str, tuple[tuple[Tensor, ...], tuple[Tensor, ...]]] = field(default_factory=dict)
    """By name, inputs and outputs of each function of a model that may have several (TensorFlow Lite)."""

    def unsigned(self, options: Mapping[str, Any]) -> str | None:
        """Why the option `signature` cannot be met, or None. What a server has is not known here."""
        wanted = options.get("signature")
        if wanted is None or wanted in self.signatures or not self.digest:
            return None
        remedy = nearest(str(wanted), self.signatures) or f"; it has {', '.join(self.signatures) or 'none'}"
        return f"model '{self.path}' has no signature '{wanted}'{remedy}"

    def signed(self, options: Mapping[str, Any]) -> ModelFacts:
        """With the tensors of the function that a model's option `signature` names, where there is such a one."""
        inputs, outputs = self.signatures.get(options.get("signature", ""), (self.inputs, self.outputs))
        return replace(self, inputs=inputs, outputs=outputs)


class LibraryFacts(Struct, frozen=True):
    """A library of an engine's operators."""

    path: str
    digest: str
    """`sha256:` and 64 hexadecimal digits."""


class Unreadable(Struct, frozen=True):
    """A file that was looked for and is no use: why, in words for the user."""

    reason: str
    missing: bool = False
    """It was not found at all; `reason` says where it was looked for."""


class Machine(Struct, frozen=True):
    """What the quotas are summed against."""

    cores: float
    memory_bytes: int


class Named(Protocol):
    """A model as a graph names it."""

    @property
    def path(self) -> str: ...

    @property
    def key(self) -> str:
        """The path, and how the file is to be read where the graph says so."""


class Facts(Struct, frozen=True):
    """Everything gathered for one graph, keyed as the graph spells it: `module` text, model path."""

    modules: Mapping[str, ModuleFacts | Unreadable] = field(default_factory=dict)
    models: Mapping[str, ModelFacts | Unreadable] = field(default_factory=dict)
    machine: Machine | None = None
    files: Mapping[Path, Unreadable] = field(default_factory=dict)
    """Files that endpoints name (certificates, keys, secrets) and that cannot be read here."""
    schemas: Mapping[str, str | Unreadable] = field(default_factory=dict)
    """Texts of schemas that stand in files, by the file as the graph spells it; of a descriptor set its base64."""
    libraries: Mapping[str, LibraryFacts | Unreadable] = field(default_factory=dict)
    """Libraries of models' operators, by path as the graph spells it."""

    def model(self, named: Named) -> ModelFacts | Unreadable | None:
        """Of a model as it is named: one file may be read in two ways, an ONNX file by OpenVINO, say."""
        return self.models.get(named.key) or self.models.get(named.path)
