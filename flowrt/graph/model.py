"""What a graph file may hold: parser, JSON Schema and reference in one.

A superset of Azure IoT Operations' graph definition. Where AIO allows null, null means that the field is not set.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from flowrt.endpoints.registry import ENDPOINTS
from flowrt.graph.updates import Updates
from flowrt.operators.accumulate import AccumulateOperation
from flowrt.operators.branch import BranchOperation
from flowrt.operators.concatenate import ConcatenateOperation
from flowrt.operators.decode import DecodeOperation
from flowrt.operators.delay import DelayOperation
from flowrt.operators.encode import EncodeOperation
from flowrt.operators.filter import FilterOperation
from flowrt.operators.inference import InferenceOperation, ModelOptions
from flowrt.operators.map import MapOperation
from flowrt.operators.sink import SinkOperation
from flowrt.operators.source import SourceOperation
from flowrt.operators.transform import TransformOperation
from flowrt.options import ConfigDict, Field, Options, having
from flowrt.quota.resources import Budget

AIO_SCHEMA = "https://www.schemastore.org/aio-wasm-graph-config-1.0.0.json"
WASI_NN = "wasi-nn"
FEATURES = (WASI_NN,)

AnyOperation = Annotated[
    SourceOperation
    | MapOperation
    | FilterOperation
    | BranchOperation
    | ConcatenateOperation
    | AccumulateOperation
    | DelayOperation
    | InferenceOperation
    | TransformOperation
    | DecodeOperation
    | EncodeOperation
    | SinkOperation,
    Field(discriminator="operation_type"),
]
"""The members of `OPERATIONS`; a test holds the two equal."""

Name = Annotated[str, Field(min_length=1, max_length=256)]


class Metadata(Options):
    """What the graph is called."""

    schema_url: str | None = Field(None, alias="$schema")
    """For editors; AIO requires its own schema's address here."""
    name: Name
    """Name of the graph, in metrics and logs too."""
    version: str = "0.0.0"
    """Version of the graph. Quote it: 1.10 without quotes is the number 1.1."""
    description: str | None = None
    """For people."""
    vendor: str | None = None
    """For people."""


class Feature(Options):
    """Something of the host that modules of this graph use."""

    name: str
    """The only one known is `wasi-nn`."""
    value: str | None = None
    """Accepted for AIO's sake; no feature takes one."""


class ModuleRequirements(Options):
    """What the graph's modules need of a host."""

    api_version: str = "1.1.0"
    """Version of the interface the modules were built for."""
    runtime_version: str | None = None
    """Version of the host asked for."""
    hostlib_version: str | None = None
    """The name that AIO's preview gave to `runtimeVersion`."""
    features: tuple[Feature, ...] = ()
    """What of the host the modules use."""


class NamedModel(ModelOptions):
    """A model that modules load by name and inference operations may name."""

    name: Name
    """Unique among the models."""


class From(Options):
    """Where a connection begins."""

    name: Name
    """Name of an operation."""
    arm: Literal["False", "True"] | None = None
    """Of a branch, the arm. Text: quote it."""
    schema_name: str | None = None
    """A name from `schemas`: what is expected to travel here."""


class To(Options):
    """Where a connection ends."""

    name: Name
    """Name of an operation."""


class Connection(Options):
    """Messages of one operation go to another."""

    from_: From = Field(alias="from")
    """Where it begins."""
    to: To
    """Where it ends."""


class Parameter(Options):
    """One property that a module is given at its start."""

    name: Name
    """Key the module sees."""
    description: str | None = None
    """For people."""
    required: bool = False
    """Whether the graph is wrong without a value."""
    default: str | None = None
    """Value unless `--set` gives one. Always text: quote numbers."""


class ModuleConfiguration(Options):
    """The parameters of one operation's module."""

    model_config = ConfigDict(extra="allow")

    name: Name
    """Name of an operation."""
    parameters: dict[str, Parameter]
    """By the key that `--set` takes."""


class Schema(Options):
    """A message schema by name."""

    name: Name
    """Unique among the schemas."""
    format: str
    """`JsonSchema/draft-07`, `Avro` or `Protobuf`."""
    text: str | None = Field(None, alias="schema")
    """The schema itself; of `Protobuf`, a descriptor set in base64."""
    file: str | None = Field(None, min_length=1, max_length=1024)
    """In its place a file, relative to the graph's folder: the schema's text, or a descriptor set as `protoc
    --descriptor_set_out` writes it."""


class ShortModule(Options):
    """One module of the short form: a chain in the order of the list."""

    name: Name
    """Becomes the operation's name."""
    type: Literal["wasm"] = "wasm"
    """The only one."""
    path: str = Field(min_length=1, max_length=1024)
    """The module: a file relative to the graph's folder, or a name as in `module`."""
    config: dict[str, Any] = Field(default_factory=dict)
    """Properties the module is given. `model` is also registered for wasi-nn, under its path."""


_KINDS: dict[str, Any] = {
    kind: (options | None, Field(None, alias=kind, description=options.__doc__)) for kind, options in ENDPOINTS.items()
}


@having(_KINDS)
class Endpoint(Options):
    """Where messages come from or go to: a name and exactly one kind."""

    name: Name
    """Operations name it."""

    @property
    def kinds(self) -> list[str]:
        """The kinds it was given; one, in a sound file."""
        return [kind for kind in ENDPOINTS if getattr(self, kind) is not None]

    @property
    def options(self) -> Options:
        """The options of its kind."""
        options: Options = getattr(self, self.kinds[0])
        return options


class GraphFile(Options):
    """A graph: operations, and how messages go from one to the next."""

    metadata: Metadata | None = None
    """What the graph is called."""
    module_requirements: ModuleRequirements = ModuleRequirements.by_default()
    """What the graph's modules need of a host."""
    resources: Budget | None = None
    """What all operations may use together, whatever each one's own `resources`."""
    endpoints: tuple[Endpoint, ...] = ()
    """Where messages come from and go to."""
    models: tuple[NamedModel, ...] = ()
    """Models by name."""
    operations: tuple[AnyOperation, ...] = ()
    """The nodes."""
    connections: tuple[Connection, ...] = ()
    """The edges."""
    module_configurations: tuple[ModuleConfiguration, ...] = ()
    """Parameters of modules."""
    schemas: tuple[Schema, ...] = ()
    """Message schemas."""
    updates: Updates | None = None
    """How the graph may be changed while it runs."""
    modules: tuple[ShortModule, ...] = ()
    """The short form: in place of operations and connections, a chain of modules between a source and a sink that
    `--bind source=URL` and `--bind sink=URL` bind."""
