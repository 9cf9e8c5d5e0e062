"""AIO's resources as models: `DataflowGraph`, `DataflowEndpoint`, `RegistryEndpoint`, `DataflowProfile`.

Facts: the public REST API specification, 2025-10-01, and AIO's documentation. Fields that say nothing to a gateway are
taken and left alone; fields that are in neither are a warning, because a later version may have them.
"""

from __future__ import annotations

from typing import Any, Literal

from flowrt.options import ConfigDict, Field, Options

GROUP = "connectivity.iotoperations.azure.com"


class Metadata(Options):
    """What Kubernetes keeps of a resource."""

    model_config = ConfigDict(extra="allow")
    name: str = Field(min_length=1, max_length=253)


class Resource(Options):
    """What every resource has."""

    api_version: str
    kind: str
    metadata: Metadata
    status: Any = None


class SourceSettings(Options):
    """What a Source node reads."""

    endpoint_ref: str = "default"
    data_sources: tuple[str, ...] = ()
    asset_ref: str | None = None


class Setting(Options):
    """One key of a graph's configuration."""

    key: str
    value: str


class GraphSettings(Options):
    """What a Graph node runs."""

    registry_endpoint_ref: str = "default"
    artifact: str
    configuration: tuple[Setting, ...] = ()


class Header(Options):
    """What a destination does to one user property."""

    action_type: Literal["AddIfNotPresent", "AddOrReplace", "Remove"]
    key: str
    value: str | None = None


class OutputSchema(Options):
    """How a destination writes."""

    serialization_format: str
    schema_ref: str | None = None


class DestinationSettings(Options):
    """Where a Destination node writes."""

    endpoint_ref: str = "default"
    data_destination: str
    headers: tuple[Header, ...] = ()
    output_schema_settings: OutputSchema | None = None


class Node(Options):
    """One node, with the settings of its type."""

    name: str = Field(min_length=1)
    node_type: Literal["Source", "Graph", "Destination"]
    source_settings: SourceSettings | None = None
    graph_settings: GraphSettings | None = None
    destination_settings: DestinationSettings | None = None


class ConnectionSchema(Options):
    """What is expected to travel along a connection."""

    serialization_format: str = "Json"
    schema_ref: str | None = None


class ConnectionFrom(Options):
    """Where a connection begins: a node, with `.output.true` or an output's name behind it where there are several."""

    name: str
    schema_: ConnectionSchema | None = Field(None, alias="schema")


class ConnectionTo(Options):
    """Where a connection ends."""

    name: str


class NodeConnection(Options):
    """An edge."""

    from_: ConnectionFrom = Field(alias="from")
    to: ConnectionTo


class DataflowGraphSpec(Options):
    """A graph of nodes."""

    profile_ref: str | None = None
    mode: Literal["Enabled", "Disabled"] = "Enabled"
    request_disk_persistence: Literal["Enabled", "Disabled"] = "Disabled"
    nodes: tuple[Node, ...]
    node_connections: tuple[NodeConnection, ...] = ()


class DataflowGraph(Resource):
    """What runs."""

    spec: DataflowGraphSpec


class Authentication(Options):
    """How an endpoint proves who it is."""

    method: str
    sasl_settings: dict[str, Any] = Field(default_factory=dict)
    x509_certificate_settings: dict[str, Any] = Field(default_factory=dict)
    service_account_token_settings: Any = None
    system_assigned_managed_identity_settings: Any = None
    user_assigned_managed_identity_settings: Any = None
    anonymous_settings: Any = None
    artifact_pull_secret_settings: Any = None


class Tls(Options):
    """How an endpoint is secured."""

    mode: Literal["Enabled", "Disabled"] = "Enabled"
    trusted_ca_certificate_config_map_ref: str | None = None


class MqttSettings(Options):
    """An MQTT broker."""

    host: str | None = None
    protocol: Literal["Mqtt", "WebSockets"] = "Mqtt"
    authentication: Authentication | None = None
    tls: Tls | None = None
    client_id_prefix: str | None = None
    keep_alive_seconds: int = 60
    max_inflight_messages: int = 100
    session_expiry_seconds: int = 3600
    qos: Literal[0, 1] = 1
    retain: Literal["Keep", "Never"] = "Keep"
    cloud_event_attributes: Any = None


class KafkaSettings(Options):
    """A Kafka cluster, or Event Hubs."""

    host: str
    consumer_group_id: str | None = None
    authentication: Authentication | None = None
    tls: Tls | None = None
    kafka_acks: Literal["Zero", "One", "All"] = "All"
    compression: str = "None"
    batching: Any = None
    partition_strategy: str = "Default"
    copy_mqtt_properties: str | None = None
    cloud_event_attributes: Any = None


class DataflowEndpointSpec(Options):
    """One kind, with its settings."""

    model_config = ConfigDict(extra="allow")
    endpoint_type: str
    host_type: str | None = None
    mqtt_settings: MqttSettings | None = None
    kafka_settings: KafkaSettings | None = None


class DataflowEndpoint(Resource):
    """Where messages come from and go to."""

    spec: DataflowEndpointSpec


class AnySpec(Resource):
    """A resource of which nothing is needed but its name."""

    spec: dict[str, Any] = Field(default_factory=dict)


class DataflowProfileSpec(Options):
    """How AIO scales what uses the profile."""

    model_config = ConfigDict(extra="allow")
    instance_count: int = 1


class DataflowProfile(Resource):
    """Instances and diagnostics."""

    spec: DataflowProfileSpec = DataflowProfileSpec()


KINDS: dict[str, type[Resource]] = {
    "DataflowGraph": DataflowGraph,
    "DataflowEndpoint": DataflowEndpoint,
    "RegistryEndpoint": AnySpec,
    "DataflowProfile": DataflowProfile,
}
"""What is read of a folder; other kinds are named and passed over."""
