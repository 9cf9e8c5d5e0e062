"""`bindings.yaml`: what a folder of AIO's resources names and a gateway does not have, as what it has.

endpoints: {default: {mqtt: {host: 127.0.0.1}}}     by the name of a DataflowEndpoint, an endpoint of a graph file
artifacts: {"my-graph:1.0.0": graphs/my-graph.yaml} by a Graph node's artifact, the file of its definition
schemas: {"aio-sr://default/reading:1": reading.json}
secrets: {broker-login: /etc/flowrt/secrets/broker} by name, a folder: username, password, client_certificate.pem …
configMaps: {plant-ca: /etc/flowrt/plant-ca.pem}    by name, a file of certificates
assets: {oven: ["factory/oven/#"]}                  by an assetRef, topics
"""

from __future__ import annotations

from typing import Any

from flowrt.options import Field, Options

FILE = "bindings.yaml"


class Bindings(Options):
    """See above. Paths are relative to the folder."""

    endpoints: dict[str, dict[str, Any]] = Field(default_factory=dict)
    """By the name of a DataflowEndpoint, what stands in its place."""
    artifacts: dict[str, str] = Field(default_factory=dict)
    """By artifact, the file of the graph definition."""
    schemas: dict[str, str] = Field(default_factory=dict)
    """By schemaRef, the file of the schema."""
    secrets: dict[str, str] = Field(default_factory=dict)
    """By the name of a secret, a folder with a file for each of its keys."""
    config_maps: dict[str, str] = Field(default_factory=dict)
    """By the name of a config map, a file of certificates."""
    assets: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """By asset, the topics it publishes to."""
