"""AIO's Kubernetes resources as they are, in a folder: what they become, and what is said of their mistakes."""

import json
import subprocess
import sys
import textwrap
import threading

import pytest

from flowrt.cli import loading
from flowrt.graph.load import plan_of
from flowrt.graph.tree import plain
from flowrt.logicaltime.stamps import parse_stamp
from flowrt.manifests.load import graphs_of
from flowrt.operators.sink import Header
from flowrt.problem import in_order

GROUP = "apiVersion: connectivity.iotoperations.azure.com/v1"
FLOW = f"""\
{GROUP}
kind: DataflowGraph
metadata: {{name: oven, namespace: azure-iot-operations}}
spec:
  profileRef: default
  nodes:
    - name: sensor
      nodeType: Source
      sourceSettings: {{endpointRef: default, dataSources: ["oven/+/heat"]}}
    - name: convert
      nodeType: Graph
      graphSettings:
        registryEndpointRef: default
        artifact: my/convert:1.0.0
        configuration: [{{key: unit, value: C}}]
    - name: hot
      nodeType: Graph
      graphSettings:
        registryEndpointRef: default
        artifact: azureiotoperations/graph-dataflow-branch:1.0.0
        configuration: [{{key: rules, value: '{{"branch": {{"inputs": ["v"], "expression": "$1 > 500"}}}}'}}]
    - name: alarm
      nodeType: Destination
      destinationSettings:
        endpointRef: default
        dataDestination: alarms/${{outputTopic}}
        headers:
          - {{actionType: AddOrReplace, key: plant, value: north}}
          - {{actionType: Remove, key: secret}}
    - name: rest
      nodeType: Destination
      destinationSettings: {{endpointRef: default, dataDestination: rest}}
  nodeConnections:
    - {{from: {{name: sensor}}, to: {{name: convert}}}}
    - {{from: {{name: convert}}, to: {{name: hot}}}}
    - {{from: {{name: hot.output.true}}, to: {{name: alarm}}}}
    - {{from: {{name: hot.output.false}}, to: {{name: rest}}}}
"""
DEFINITION = """\
metadata: {name: convert, version: 1.0.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
moduleConfigurations:
  - {name: pass, parameters: {unit: {name: unit, required: true}}}
operations:
  - {operationType: source, name: source}
  - {operationType: map, name: pass, module: "samples/passthrough:1.0.0"}
  - {operationType: sink, name: sink}
connections:
  - {from: {name: source}, to: {name: pass}}
  - {from: {name: pass}, to: {name: sink}}
"""
BINDINGS = "endpoints: {default: {mqtt: {host: 127.0.0.1}}}\n"


@pytest.fixture
def folder(tmp_path):
    """Writes files and gives what the folder becomes: graphs, and problems as line, column, code."""

    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.yaml").write_text(textwrap.dedent(text))
        return tmp_path

    return write


def found(path):
    graphs, problems = graphs_of(path)
    return graphs, [(p.path.rpartition("/")[2], p.line, p.column, p.code) for p in in_order(problems)]


def values(graph, section):
    return plain(graph.root.get(section))


def test_nodes_become_operations_and_definitions_are_taken_in(folder):
    (graph,), problems = found(folder(flow=FLOW, convert=DEFINITION, bindings=BINDINGS))

    assert problems == []
    assert graph.name == "oven"
    assert {op["name"]: op["operationType"] for op in values(graph, "operations")} == {
        "sensor": "source", "pass": "map", "hot": "transform", "alarm": "sink", "rest": "sink",
    }  # fmt: skip
    assert [(edge["from"], edge["to"]["name"]) for edge in values(graph, "connections")] == [
        ({"name": "sensor"}, "pass"),
        ({"name": "pass"}, "hot"),
        ({"name": "hot", "arm": "True"}, "alarm"),
        ({"name": "hot", "arm": "False"}, "rest"),
    ]
    assert graph.file.operations[3].topic == "alarms/{topic}"
    assert graph.file.module_configurations[0].parameters["unit"].default == "C"


def test_two_definitions_of_one_resource_keep_their_operations_apart(folder):
    flow = FLOW.replace("azureiotoperations/graph-dataflow-branch:1.0.0", "my/convert:1.0.0")
    flow = flow.replace("hot.output.true", "hot").replace(
        "    - {from: {name: hot.output.false}, to: {name: rest}}\n", ""
    )

    (graph,), _ = found(folder(flow=flow, convert=DEFINITION, bindings=BINDINGS))

    assert [op.name for op in graph.file.operations] == ["sensor", "convert/pass", "hot/pass", "alarm", "rest"]


def test_a_built_in_is_judged_as_in_a_graph_file(folder):
    """Its version, and a configuration that it does not take: each once, where it stands."""
    flow = FLOW.replace("graph-dataflow-branch:1.0.0", "graph-dataflow-branch:9.9.0")
    flow = flow.replace("{key: rules,", "{key: rulez, value: x}, {key: rules,")
    _, problems = found(folder(flow=flow, convert=DEFINITION, bindings=BINDINGS))
    assert problems == [("flow.yaml", 20, 19, "bad-builtin"), ("flow.yaml", 21, 45, "bad-builtin")]


def test_several_documents_stand_in_one_file(folder):
    profile = f"{GROUP}\nkind: DataflowProfile\nmetadata: {{name: default}}\nspec: {{instanceCount: 3}}\n"
    both = f"# ours\n---\n{FLOW}---\n{profile}"

    graphs, problems = found(folder(flow=both, convert=DEFINITION, bindings=BINDINGS))

    assert len(graphs) == 1
    assert problems == [("flow.yaml", 44, 23, "other-on-a-gateway")]


def test_every_mistake_is_named_where_it_stands(folder):
    """An unknown node, a misspelt field, a definition that is not there, a second resource of one name."""
    flow = FLOW.replace("to: {name: rest}", "to: {name: rset}").replace("profileRef", "profilRef")

    graphs, problems = found(folder(flow=flow, again=FLOW, bindings=BINDINGS))

    assert graphs == []
    assert ("flow.yaml", 1, 1, "duplicate-name") in problems
    assert ("again.yaml", 14, 19, "unbound-reference") in problems
    _, problems = found(folder(flow=flow, again="", convert=DEFINITION, bindings=BINDINGS))
    assert ("flow.yaml", 5, 3, "unknown-field") in problems
    assert ("flow.yaml", 37, 51, "unknown-operation") in problems


def test_problems_of_a_definition_stand_in_its_own_file(folder, tmp_path):
    definition = DEFINITION.replace("samples/passthrough", "samples/nowhere").replace(
        "required: true", "required: true"
    )
    flow = FLOW.replace("[{key: unit, value: C}]", "[{key: uint, value: C}]")
    graphs, problems = graphs_of(folder(flow=flow, convert=definition, bindings=BINDINGS))
    _, more = plan_of(
        graphs[0], sets={}, environ={}, bindings={}, modules_dirs=[tmp_path],
        inspect_module=loading._inspect_module, inspect_model=loading._inspect_model, machine=None,
    )  # fmt: skip

    assert [(p.path.rpartition("/")[2], p.line, p.code) for p in in_order([*problems, *more])] == [
        ("convert.yaml", 4, "missing-parameter"),
        ("convert.yaml", 7, "missing-module"),
        ("flow.yaml", 15, "unused-set"),
    ]


CLOUD = """\
{group}
kind: DataflowEndpoint
metadata: {{name: default}}
spec:
  endpointType: {kind}
  {lower}Settings:
    host: {host}
    authentication: {{method: {method}, {settings}: {{secretRef: login, saslType: ScramSha256}}}}
    tls: {{mode: Enabled, trustedCaCertificateConfigMapRef: ca}}
"""


@pytest.mark.parametrize(
    ("kind", "method", "codes"),
    [
        ("Mqtt", "SystemAssignedManagedIdentity", ["unbound-reference", "not-on-a-gateway"]),
        ("Mqtt", "ServiceAccountToken", ["unbound-reference", "not-on-a-gateway"]),
        ("Mqtt", "X509Certificate", ["unbound-reference", "unbound-reference"]),
        ("FabricOneLake", "SystemAssignedManagedIdentity", ["not-on-a-gateway"]),
    ],
)
def test_what_only_a_cloud_has_is_said(folder, kind, method, codes):
    settings = "x509CertificateSettings" if method.startswith("X") else "saslSettings"
    cloud = CLOUD.format(group=GROUP, kind=kind, lower="mqtt", host="a:1", method=method, settings=settings)

    _, problems = found(folder(flow=FLOW, convert=DEFINITION, cloud=cloud))

    assert sorted(code for *_, code in problems) == sorted(codes)
    assert {name for name, *_ in problems} == {"cloud.yaml"}


def test_certificates_and_config_maps_are_files(folder, tmp_path):
    cloud = CLOUD.format(
        group=GROUP, kind="Mqtt", lower="mqtt", host="broker:8884", method="X509Certificate",
        settings="x509CertificateSettings",
    )  # fmt: skip
    bindings = "secrets: {login: login}\nconfigMaps: {ca: ca.pem}\n"

    (graph,), problems = found(folder(flow=FLOW, convert=DEFINITION, cloud=cloud, bindings=bindings))

    assert problems == []
    options = graph.file.endpoints[0].options
    assert (options.host, options.port) == ("broker", 8884)
    assert options.tls.ca == tmp_path / "ca.pem"
    assert options.tls.cert == tmp_path / "login" / "client_certificate.pem"


def test_a_disabled_graph_does_not_run(folder):
    flow = FLOW.replace("spec:\n", "spec:\n  mode: Disabled\n")

    assert found(folder(flow=flow, convert=DEFINITION, bindings=BINDINGS)) == ([], [])


@pytest.mark.parametrize(
    ("text", "line"), [("a: [", 1), ("\x00", 1), ("--- \n" * 3, 0), ("kind: DataflowGraph\n", 1), ("[]", 1)]
)
def test_what_is_no_resource_is_a_problem_or_nothing(folder, text, line):
    _, problems = found(folder(flow=text))

    assert problems[0][1] == line


HEADERS = (("a", "1"), ("b", "2"), ("a", "3"))


@pytest.mark.parametrize(
    ("action", "key", "value", "after"),
    [
        ("addIfNotPresent", "a", "9", HEADERS),
        ("addIfNotPresent", "c", "9", (*HEADERS, ("c", "9"))),
        ("addOrReplace", "a", "9", (("a", "9"), ("b", "2"))),
        ("addOrReplace", "c", "9", (*HEADERS, ("c", "9"))),
        ("remove", "a", None, (("b", "2"),)),
        ("remove", "c", None, HEADERS),
    ],
)
def test_headers_of_a_destination(action, key, value, after):
    assert Header(action=action, key=key, value=value).applied(HEADERS) == after


MIXED = """\
metadata: {name: mixed, version: 1.2.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints: [{name: plant, mqtt: {host: 127.0.0.1, port: 1884}}]
operations:
  - {operationType: source, name: in, endpoint: plant, topics: ["a/#"]}
  - {operationType: map, name: conv, module: temperature}
  - {operationType: branch, name: which, module: temperature}
  - {operationType: transform, name: keep, filter: [{inputs: ["x"], expression: "$1 > 3"}]}
  - {operationType: sink, name: out, endpoint: plant, topic: "o/{topic}",
     headers: [{action: remove, key: secret}]}
  - {operationType: sink, name: rest, endpoint: plant, topic: "r"}
connections:
  - {from: {name: in}, to: {name: conv}}
  - {from: {name: conv}, to: {name: which}}
  - {from: {name: which, arm: "True"}, to: {name: keep}}
  - {from: {name: which, arm: "False"}, to: {name: rest}}
  - {from: {name: keep}, to: {name: out}}
"""


def flowrt(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "flowrt.cli.main", *map(str, arguments)], capture_output=True, text=True, check=False
    )


def test_what_is_exported_for_aio_is_the_same_graph_when_it_is_read_back(tmp_path):
    (tmp_path / "mixed.yaml").write_text(MIXED)

    made = flowrt("export", "--aio", tmp_path / "mixed.yaml", "-o", tmp_path / "aio")

    assert (made.returncode, sorted(file.name for file in (tmp_path / "aio").iterdir())) == (
        0, ["mixed.dataflowgraph.yaml", "mixed.yaml", "plant.endpoint.yaml"],
    )  # fmt: skip
    (graph,), problems = found(tmp_path / "aio")
    assert problems == []
    assert sorted(op.name for op in graph.file.operations) == ["conv", "in", "keep", "out", "rest", "which"]
    edges = {(c.from_.name, c.from_.arm, c.to.name) for c in graph.file.connections}
    assert edges == {
        ("in", None, "conv"), ("conv", None, "which"), ("which", "True", "keep"), ("which", "False", "rest"),
        ("keep", None, "out"),
    }  # fmt: skip
    portable = flowrt("check", "--portable", tmp_path / "aio" / "mixed.yaml")
    assert "not-portable" not in portable.stderr


def test_what_aio_has_no_place_for_is_named_and_nothing_is_written(tmp_path):
    text = MIXED.replace(
        "{operationType: map, name: conv, module: temperature}",
        "{operationType: inference, name: conv, model: {path: m.onnx}, resources: {cpu: 100m}}",
    ).replace("mqtt: {host: 127.0.0.1, port: 1884}", "file: {path: x}")
    (tmp_path / "mixed.yaml").write_text(text)

    made = flowrt("export", "--aio", tmp_path / "mixed.yaml", "-o", tmp_path / "aio")

    assert made.returncode == 1
    assert not (tmp_path / "aio").exists()
    lines = [line.partition(": ")[0].rpartition("/")[2] for line in made.stderr.splitlines()]
    assert lines == ["mixed.yaml:3:13", "mixed.yaml:6:21", "mixed.yaml:6:78"]


def test_a_folder_of_resources_runs_on_a_broker(folder, tmp_path):
    """Through the definition's module and the transform, both ways, with the destination's headers."""
    pytest.importorskip("paho.mqtt.client")
    from brokers import MOSQUITTO, Broker

    if MOSQUITTO is None:
        pytest.skip("Mosquitto is not installed")
    import paho.mqtt.client as paho

    with Broker() as broker:
        bindings = f"endpoints: {{default: {{mqtt: {{host: 127.0.0.1, port: {broker.port}}}}}}}\n"
        path = folder(flow=FLOW, convert=DEFINITION, bindings=bindings)
        root = __file__.rpartition("/tests/")[0]
        command = [sys.executable, "-m", "flowrt.cli.main", "run", path, "--modules", f"{root}/modules"]
        process = subprocess.Popen(
            [*map(str, command), "--state", str(tmp_path / "state")], stderr=subprocess.PIPE, text=True
        )
        try:
            assert any(line.strip() == "ready" for line in process.stderr)
            got, enough = [], threading.Event()
            client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)

            def note(_, __, message):
                got.append((message.topic, json.loads(message.payload), message.properties.UserProperty))
                if len(got) == 2:
                    enough.set()

            client.on_message = note
            client.connect(broker.host, broker.port)
            client.subscribe([("alarms/#", 1), ("rest", 1)])
            client.loop_start()
            properties = paho.Properties(paho.PacketTypes.PUBLISH)
            properties.UserProperty = [("secret", "s"), ("plant", "south")]
            for value in (499, 501):
                client.publish("oven/1/heat", json.dumps({"v": value}), 1, properties=properties).wait_for_publish(10)
            assert enough.wait(20)
            client.disconnect()
            client.loop_stop()
        finally:
            process.terminate()
            process.communicate()
    clocks = [properties.pop() for _, _, properties in got]  # as AIO writes them
    assert all(key == "__ts" and parse_stamp(clock) for key, clock in clocks)
    assert sorted(got) == [
        ("alarms/oven/1/heat", {"v": 501}, [("plant", "north")]),
        ("rest", {"v": 499}, [("secret", "s"), ("plant", "south")]),
    ]
