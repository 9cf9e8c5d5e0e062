"""A `DataflowGraph` and what it names, as the tree of one graph file.

Each Graph node is replaced by the operations of its definition, or by the transform that it is; sources and
destinations become operations with endpoints. Every value keeps the file, line and column where the user wrote it.
"""

from __future__ import annotations

from collections.abc import Mapping

from flowrt.graph.artifacts import ARTIFACTS, kind_of_artifact, mistakes, operation_of
from flowrt.graph.tree import Entry, Node, Scalar
from flowrt.graph.tree import Mapping as Tree
from flowrt.manifests import resources
from flowrt.manifests.bindings_file import FILE
from flowrt.manifests.definitions import Definition, End, find, taken
from flowrt.manifests.endpoints import endpoint_of
from flowrt.manifests.folder import Folder, Found
from flowrt.manifests.trees import items_of, listed, part, text_of, tree, value, word
from flowrt.values import replace

OUTPUT_TOPIC = "${outputTopic}"
_FORMATS = {"Json": "JsonSchema/draft-07", "Avro": "Avro"}


def compose(folder: Folder, found: Found) -> Tree | None:
    """The tree of the graph that a `DataflowGraph` declares; problems go to the folder."""
    assert isinstance(found.resource, resources.DataflowGraph)  # noqa: S101 - of its kind
    return _Composition(folder, found, found.resource).tree()


class _Composition:
    """One graph while it is composed."""

    def __init__(self, folder: Folder, found: Found, resource: resources.DataflowGraph) -> None:
        self._folder = folder
        self._found = found
        self._spec = resource.spec
        self._name = resource.metadata.name
        self._spec_tree = found.spec or found.tree
        self._sections: dict[str, list[Node]] = {
            key: [] for key in ("endpoints", "operations", "connections", "moduleConfigurations", "schemas")
        }
        self._features: list[Node] = []
        self._endpoints: set[str] = set()
        self._definitions: dict[str, Definition] = {}
        self._lacking = False
        """A definition is not there: what is left is no graph."""
        self._nodes = {node.name: node for node in self._spec.nodes}
        own = [node for node in self._spec.nodes if node.graph_settings and not _builtin(node)]
        self._prefixed = len(own) > 1

    def tree(self) -> Tree | None:
        self._report()
        for node, where in zip(self._spec.nodes, items_of(self._spec_tree, "nodes"), strict=True):
            self._node(node, where)
        if self._lacking:
            return None
        for connection, where in zip(
            self._spec.node_connections, items_of(self._spec_tree, "nodeConnections"), strict=True
        ):
            self._connect(connection, where)
        mark = self._found.tree.mark
        root = value(
            mark, {"metadata": {"name": self._name, "version": "1.0.0"}, "moduleRequirements": {"apiVersion": "1.1.0"}}
        )
        assert isinstance(root, Tree)  # noqa: S101 - a mapping was given
        if self._features:
            requirements = root.entries["moduleRequirements"].value
            assert isinstance(requirements, Tree)  # noqa: S101
            features = Entry(mark, listed(mark, self._features))
            root.entries["moduleRequirements"] = Entry(
                mark, replace(requirements, entries={**requirements.entries, "features": features})
            )
        sections = {key: Entry(mark, listed(mark, items)) for key, items in self._sections.items()}
        return replace(root, entries={**root.entries, **sections})

    def _report(self) -> None:
        """What AIO does for a graph and flowrt does otherwise."""
        profile = self._folder.resources["DataflowProfile"].get(self._spec.profile_ref or "default")
        if profile is not None and isinstance(profile.resource, resources.DataflowProfile):
            count = profile.resource.spec.instance_count
            if count > 1:
                where = part(profile.tree, "spec", "instanceCount")
                message = f"instanceCount is {count}; on a gateway `flowrt run --workers {count}` divides the topics"
                self._folder.warn(where, "other-on-a-gateway", message)
        names: dict[str, None] = {}
        for node, where in zip(self._spec.nodes, items_of(self._spec_tree, "nodes"), strict=True):
            if node.name in names:
                self._folder.problem(where, "duplicate-name", f"there is a node '{node.name}' already; rename one")
            names[node.name] = None

    def _node(self, node: resources.Node, where: Tree) -> None:
        settings = {
            "Source": node.source_settings, "Graph": node.graph_settings, "Destination": node.destination_settings,
        }[node.node_type]  # fmt: skip
        if settings is None:
            wanted = node.node_type.lower() + "Settings"
            self._folder.problem(where, "missing-field", f"node '{node.name}': '{wanted}' is missing; add it")
        elif isinstance(settings, resources.SourceSettings):
            self._source(node.name, settings, where)
        elif isinstance(settings, resources.DestinationSettings):
            self._destination(node.name, settings, where)
        else:
            self._graph(node, settings, where)

    def _source(self, name: str, settings: resources.SourceSettings, where: Tree) -> None:
        own = part(where, "sourceSettings")
        self._endpoint(settings.endpoint_ref, part(own, "endpointRef"))
        topics: tuple[str, ...] = settings.data_sources
        if settings.asset_ref:
            bound = self._folder.bindings.assets.get(settings.asset_ref)
            if bound is None:
                message = f"the asset '{settings.asset_ref}' is not here; add to {FILE}: assets: "
                message += f'{{{settings.asset_ref}: ["TOPIC"]}}'
                self._folder.problem(part(own, "assetRef"), "unbound-reference", message)
            topics += bound or ()
        operation = {"operationType": "source", "name": name, "endpoint": settings.endpoint_ref}
        made = {key: word(where.mark, text) for key, text in operation.items()}
        at = part(own, "dataSources")
        self._add(
            "operations", tree(where.mark, made | {"topics": listed(at.mark, [word(at.mark, t) for t in topics])})
        )

    def _destination(self, name: str, settings: resources.DestinationSettings, where: Tree) -> None:
        own = part(where, "destinationSettings")
        self._endpoint(settings.endpoint_ref, part(own, "endpointRef"))
        if settings.output_schema_settings is not None:
            form = settings.output_schema_settings.serialization_format
            message = f"node '{name}': {form} is for a cloud's storage; leave outputSchemaSettings out"
            self._folder.problem(part(own, "outputSchemaSettings"), "not-on-a-gateway", message)
        at = part(own, "dataDestination").mark
        made: dict[str, Node] = {
            key: word(where.mark, text)
            for key, text in {"operationType": "sink", "name": name, "endpoint": settings.endpoint_ref}.items()
        }
        made["timestamp"] = word(where.mark, "write")  # as AIO does
        made["topic"] = word(at, _template(settings.data_destination))
        if settings.headers:
            at = part(own, "headers").mark
            made["headers"] = value(at, [_header(header) for header in settings.headers])
        self._add("operations", tree(where.mark, made))

    def _graph(self, node: resources.Node, settings: resources.GraphSettings, where: Tree) -> None:
        own = part(where, "graphSettings")
        given = {text_of(item, "key"): part(item, "value") for item in items_of(own, "configuration")}
        texts = {key: found for key, found in given.items() if isinstance(found, Scalar)}
        artifact = part(own, "artifact")
        assert isinstance(artifact, Scalar)  # noqa: S101 - the model holds a text there
        if (kind := kind_of_artifact(settings.artifact)) is not None:
            self._transform(kind, where, artifact, texts)
            return
        root = find(self._folder, settings.artifact, artifact)
        prefix = f"{node.name}/" if self._prefixed else ""
        self._lacking |= root is None
        made = Definition() if root is None else taken(self._folder, root, prefix, texts)
        self._definitions[node.name] = made
        for section, items in made.sections.items():
            (self._features if section == "features" else self._sections[section]).extend(items)

    def _transform(self, kind: str, where: Tree, artifact: Scalar, settings: Mapping[str, Scalar]) -> None:
        """One of AIO's built-in transforms."""
        operation = replace(where, entries={"name": where.entries["name"]})
        self._folder.problems += mistakes(operation, artifact, settings, str(self._folder.path))
        known = ARTIFACTS.get(kind)
        fitting = {key: given for key, given in settings.items() if known is not None and key in known.keys}
        self._add("operations", operation_of(operation, artifact, fitting))

    def _connect(self, connection: resources.NodeConnection, where: Tree) -> None:
        begins, ends = self._outputs(connection, where), self._inputs(connection, where)
        schema = self._schema(connection.from_.schema_, part(where, "from", "schema"))
        for name, arm in begins:
            for end in ends:
                begin: dict[str, Node] = {"name": word(where.mark, name)}
                if arm is not None:
                    begin["arm"] = arm
                if schema is not None:
                    begin["schemaName"] = schema
                to = tree(where.mark, {"name": word(where.mark, end)})
                self._add("connections", tree(where.mark, {"from": tree(where.mark, begin), "to": to}))

    def _outputs(self, connection: resources.NodeConnection, where: Tree) -> list[End]:
        name, where_name = connection.from_.name, part(where, "from", "name")
        if name in self._nodes:
            node, output = name, ""
        else:
            node, output = next(
                ((known, name[len(known) + 1 :]) for known in self._nodes if name.startswith(known + ".")), ("", "")
            )
        if not node:
            self._unknown(name, where_name)
            return []
        definition = self._definitions.get(node)
        if definition is None:
            arm = output.removeprefix("output.")
            return [(node, word(where_name.mark, arm.capitalize()) if output else None)]
        if output and output not in definition.outputs:
            message = f"'{node}' has no output '{output}'; it has {', '.join(definition.outputs) or 'none'}"
            self._folder.problem(where_name, "unknown-operation", message)
        wanted = [output] if output else list(definition.outputs)
        return [end for sink in wanted for end in definition.outputs.get(sink, [])]

    def _inputs(self, connection: resources.NodeConnection, where: Tree) -> list[str]:
        name = connection.to.name
        if name not in self._nodes:
            self._unknown(name, part(where, "to", "name"))
            return []
        definition = self._definitions.get(name)
        return [name] if definition is None else [end for ends in definition.inputs.values() for end in ends]

    def _unknown(self, name: str, where: Node) -> None:
        message = f"there is no node '{name}'; there are {', '.join(self._nodes)}"
        self._folder.problem(where, "unknown-operation", message)

    def _schema(self, given: resources.ConnectionSchema | None, where: Node) -> Scalar | None:
        """The name of the schema that a connection names, which is added to the graph's."""
        if given is None or given.schema_ref is None:
            return None
        if given.serialization_format not in _FORMATS:
            message = f"messages in {given.serialization_format} are for a cloud's storage; use Json or Avro"
            self._folder.problem(part(where, "serializationFormat"), "not-on-a-gateway", message)
            return None
        file = self._folder.bindings.schemas.get(given.schema_ref)
        if file is None:
            message = f"the schema '{given.schema_ref}' is not here; add to {FILE}: schemas: "
            message += f'{{"{given.schema_ref}": FILE}}'
            self._folder.problem(part(where, "schemaRef"), "unbound-reference", message)
            return None
        name = word(where.mark, given.schema_ref)
        known = {text_of(schema, "name") for schema in self._sections["schemas"]}
        if given.schema_ref not in known:
            schema = {"name": given.schema_ref, "format": _FORMATS[given.serialization_format], "file": file}
            self._add("schemas", value(where.mark, schema))
        return name

    def _endpoint(self, name: str, where: Node) -> None:
        if name in self._endpoints:
            return
        self._endpoints.add(name)
        made = endpoint_of(self._folder, name, where, self._name)
        # One that is not there is reported; in its place stands something that the checks do not mind.
        self._add("endpoints", made or value(where.mark, {"name": name, "mqtt": {"host": "127.0.0.1"}}))

    def _add(self, section: str, node: Node) -> None:
        self._sections[section].append(node)


def _template(destination: str) -> str:
    """A destination's topic as a sink's template: braces are braces, but for `${outputTopic}`."""
    parts = [text.replace("{", "{{").replace("}", "}}") for text in destination.split(OUTPUT_TOPIC)]
    return "{topic}".join(parts)


def _builtin(node: resources.Node) -> bool:
    return node.graph_settings is not None and kind_of_artifact(node.graph_settings.artifact) is not None


def _header(header: resources.Header) -> dict[str, str]:
    action = {"AddIfNotPresent": "addIfNotPresent", "AddOrReplace": "addOrReplace", "Remove": "remove"}
    return {"action": action[header.action_type], "key": header.key} | ({"value": header.value} if header.value else {})
