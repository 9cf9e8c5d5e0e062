"""A `DataflowEndpoint` as an endpoint of a graph file.

What proves who it is by an identity that only a cluster or a cloud has, or writes where only a cloud can be reached,
cannot exist on a gateway: that is said, and `bindings.yaml` names what stands in its place.
"""

from __future__ import annotations

from typing import Any

from flowrt.graph.tree import Mapping as Tree
from flowrt.graph.tree import Node
from flowrt.manifests.bindings_file import FILE
from flowrt.manifests.folder import Folder, Found
from flowrt.manifests.resources import Authentication, DataflowEndpoint, KafkaSettings, MqttSettings, Tls
from flowrt.manifests.trees import part, tree, value, word

_CLUSTER = ("ServiceAccountToken", "SystemAssignedManagedIdentity", "UserAssignedManagedIdentity")
_OF_GRAPHS = ("Mqtt", "Kafka")
_SASL = {"Plain": "PLAIN", "ScramSha256": "SCRAM-SHA-256", "ScramSha512": "SCRAM-SHA-512"}
DEFAULT = "default"
"""AIO's own broker, which every reference without a name means."""


def endpoint_of(folder: Folder, name: str, where: Node, group: str) -> Tree | None:
    """The endpoint of this name as an entry of `endpoints`; None when there is none, which is reported at `where`.
    `group` is what a Kafka consumer is called that its manifest does not name."""
    if name in folder.bindings.endpoints and folder.bindings_tree is not None:
        bound = part(folder.bindings_tree, "endpoints", name)
        if isinstance(bound, Tree):
            return tree(bound.mark, {"name": word(where.mark, name)} | {k: e.value for k, e in bound.entries.items()})
    found = folder.resources["DataflowEndpoint"].get(name)
    if found is None:
        of = "the broker that comes with AIO" if name == DEFAULT else f"a DataflowEndpoint '{name}'"
        message = f"{of} is not in this folder; add to {FILE}: endpoints: {{{name}: {{mqtt: {{host: 127.0.0.1}}}}}}"
        folder.problem(where, "unbound-reference", message)
        return None
    return _Endpoint(folder, name, found, group).entry()


class _Endpoint:
    """One endpoint while it is translated."""

    def __init__(self, folder: Folder, name: str, found: Found, group: str) -> None:
        assert isinstance(found.resource, DataflowEndpoint)  # noqa: S101 - of its kind
        self._folder = folder
        self._name = name
        self._spec = found.resource.spec
        self._tree = found.spec or found.tree
        self._group = group

    def entry(self) -> Tree | None:
        spec = self._spec
        if spec.endpoint_type not in _OF_GRAPHS:
            self._cannot("endpointType", f"an endpoint of type {spec.endpoint_type} cannot be reached from a gateway")
            return None
        if spec.endpoint_type == "Mqtt":
            kind, settings = "mqtt", self._mqtt(spec.mqtt_settings or MqttSettings())
        elif spec.kafka_settings is None:
            self._cannot("endpointType", "an endpoint of type Kafka has no kafkaSettings")
            return None
        else:
            kind, settings = "kafka", self._kafka(spec.kafka_settings)
        where = part(self._tree, f"{kind}Settings").mark
        return tree(where, {"name": word(where, self._name), kind: value(where, settings)})

    def _mqtt(self, given: MqttSettings) -> dict[str, Any]:
        host, port = _address(given.host or "127.0.0.1", 1883)
        options: dict[str, Any] = {
            "host": host,
            "port": port,
            "keepAlive": f"{given.keep_alive_seconds}s",
            "maxInflight": given.max_inflight_messages,
            "receiveMaximum": given.max_inflight_messages,
            "sessionExpiry": f"{given.session_expiry_seconds}s",
        }
        if given.protocol == "WebSockets":
            options["transport"] = "websockets"
        if given.client_id_prefix:
            options["clientId"] = f"{given.client_id_prefix}-{self._group}"
        options |= self._tls("mqttSettings", given.tls)
        files = self._secret("mqttSettings", given.authentication)
        if "username" in files:
            options["credentials"] = {"usernameFile": files["username"], "passwordFile": files["password"]}
        elif "cert" in files:
            options["tls"] = {**options.get("tls", {}), **files}
        return options

    def _kafka(self, given: KafkaSettings) -> dict[str, Any]:
        options: dict[str, Any] = {"brokers": [given.host], "group": given.consumer_group_id or self._group}
        options |= self._tls("kafkaSettings", given.tls)
        files = self._secret("kafkaSettings", given.authentication)
        if "username" in files and given.authentication is not None:
            mechanism = _SASL.get(str(given.authentication.sasl_settings.get("saslType", "Plain")), "PLAIN")
            options["sasl"] = {
                "mechanism": mechanism,
                "usernameFile": files["username"],
                "passwordFile": files["password"],
            }
        elif "cert" in files:
            options["tls"] = {**options.get("tls", {}), **files}
        return options

    def _tls(self, kind: str, given: Tls | None) -> dict[str, Any]:
        if given is None or given.mode == "Disabled":
            return {}
        name = given.trusted_ca_certificate_config_map_ref
        if not name:
            return {"tls": {}}
        file = self._folder.bindings.config_maps.get(name)
        if file is None:
            where = (kind, "tls", "trustedCaCertificateConfigMapRef")
            self._unbound(where, f"the config map '{name}'", f"configMaps: {{{name}: /etc/flowrt/ca.pem}}")
            return {"tls": {}}
        return {"tls": {"ca": str(self._folder.path / file)}}

    def _secret(self, kind: str, given: Authentication | None) -> dict[str, str]:
        """The files that stand for what the manifest says of authentication."""
        where = (kind, "authentication", "method")
        if given is None or given.method == "Anonymous":
            return {}
        if given.method in _CLUSTER:
            self._cannot(".".join(where), f"a gateway has no {given.method}")
            return {}
        settings = given.sasl_settings if given.method == "Sasl" else given.x509_certificate_settings
        name = str(settings.get("secretRef", ""))
        home = self._folder.bindings.secrets.get(name)
        if home is None:
            self._unbound(where, f"the secret '{name}'", f"secrets: {{{name}: /etc/flowrt/secrets/{name}}}")
            return {}
        files = self._folder.path / home
        if given.method == "X509Certificate":
            return {"cert": str(files / "client_certificate.pem"), "key": str(files / "client_private_key.pem")}
        return {"username": str(files / "username"), "password": str(files / "password")}

    def _cannot(self, where: str, words: str) -> None:
        message = f"endpoint '{self._name}': {words}; give it another in {FILE}, under endpoints"
        self._folder.problem(part(self._tree, *where.split(".")), "not-on-a-gateway", message)

    def _unbound(self, where: tuple[str, ...], what: str, line: str) -> None:
        message = f"endpoint '{self._name}': {what} is not here; add to {FILE}: {line}"
        self._folder.problem(part(self._tree, *where), "unbound-reference", message)


def _address(host: str, port: int) -> tuple[str, int]:
    name, colon, number = host.rpartition(":")
    return (name, int(number)) if colon and number.isdecimal() else (host, port)
