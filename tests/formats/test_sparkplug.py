"""Sparkplug B: births explain what data messages leave out, and an edge node whose birth was missed is asked for it."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowrt.errors import NodeFault
from flowrt.formats.base import Around
from flowrt.formats.options import SparkplugOptions
from flowrt.formats.registry import codec_of
from flowrt.formats.sparkplug_nodes import METRICS_MAX, NODES_MAX, EdgeNode, EdgeNodes
from flowrt.formats.sparkplug_wire import payload_type
from flowrt.message import Head
from flowrt.operators.codec_work import CodecOperator
from flowrt.testing import batch_of


class Plant:
    """A codec on a clock that the test moves, and the edge node `gw` of the group `g`."""

    def __init__(self, limit=100_000, **options):
        self.now = 100.0
        known = SparkplugOptions.model_validate(options, by_alias=True)
        self.codec = codec_of(known, Around(limit, clock=lambda: self.now))

    def send(self, kind, metrics=(), *, device=None, node="gw", **fields):
        """The document that a message becomes. Metrics are dicts as `encode` takes them, with or without a name."""
        return self.raw(payload(metrics, **fields), f"spBv1.0/g/{kind}/{node}{f'/{device}' if device else ''}")

    def raw(self, message, topic):
        ((made, head),) = self.codec.decode(message, Head(topic))
        assert head.content_type == "application/json"
        return json.loads(made)

    def asked(self):
        return [(head.topic, payload_type().FromString(made).metrics[0].name) for made, head in self.codec.requests()]


def payload(metrics=(), **fields):
    message = payload_type()(**fields)
    for given_metric in metrics:
        message.metrics.add(**given_metric)
    return message.SerializeToString()


def int32(value, **more):
    return {"datatype": 3, "int_value": value & 0xFFFFFFFF, **more}


BIRTH = [
    {"name": "bdSeq", "datatype": 4, "long_value": 1},
    {"name": "Temp", "alias": 1, "datatype": 9, "float_value": 21.5},
    int32(-5, name="Level", alias=2),
]
PUMP = [{"name": "On", "alias": 3, "datatype": 11, "boolean_value": True}]
ASKED = [("spBv1.0/g/NCMD/gw", "Node Control/Rebirth")]


def test_a_birth_explains_the_data_that_follows():
    plant = Plant()
    assert plant.send("NBIRTH", BIRTH, seq=0, timestamp=1) == {
        "type": "NBIRTH", "group": "g", "edgeNode": "gw", "timestamp": 1, "seq": 0,
        "metrics": {"bdSeq": 1, "Temp": 21.5, "Level": -5},
    }  # fmt: skip
    plant.send("DBIRTH", PUMP, device="pump", seq=1)
    data = [{"alias": 1, "float_value": 22.0}, {"alias": 2, "int_value": 2**32 - 7}, {"name": "Level", "int_value": 4}]
    assert plant.send("NDATA", data[:2], seq=2)["metrics"] == {"Temp": 22.0, "Level": -7}
    assert plant.send("NDATA", data[2:], seq=3)["metrics"] == {"Level": 4}
    assert plant.send("DDATA", [{"alias": 3, "is_null": True}], device="pump", seq=4) == {
        "type": "DDATA", "group": "g", "edgeNode": "gw", "device": "pump", "seq": 4, "metrics": {"On": None},
    }  # fmt: skip
    assert plant.asked() == []


@pytest.mark.parametrize(
    ("kind", "device", "metrics", "words"),
    [
        ("NDATA", None, [{"alias": 9, "int_value": 1}],
         "the Sparkplug edge node g/gw has told no name for the alias 9"),
        ("NDATA", None, [{"int_value": 1}], "has told no name for the alias None"),
        ("NDATA", None, [{"alias": 3, "int_value": 1}], "has told no name for the alias 3"),
        ("DDATA", "valve", [], "the Sparkplug device g/gw/valve is not born"),
    ],
)  # fmt: skip
def test_what_no_birth_explains_is_a_fault_and_a_birth_is_asked_for(kind, device, metrics, words):
    plant = Plant(rebirth=True)
    plant.send("NBIRTH", BIRTH, seq=0)
    plant.send("DBIRTH", PUMP, device="pump", seq=1)
    with pytest.raises(NodeFault, match=words):
        plant.send(kind, metrics, device=device, seq=2)
    assert plant.asked() == ASKED


@pytest.mark.parametrize(("kind", "device"), [("NDATA", None), ("DBIRTH", "pump"), ("DDATA", "pump")])
def test_an_edge_node_whose_birth_was_missed_is_asked_for_it_once_in_a_while(kind, device):
    plant = Plant(rebirth=True, rebirthInterval="10s")
    asked = []
    for _ in range(5):
        with pytest.raises(NodeFault, match="is not born"):
            plant.send(kind, device=device, seq=7)
        asked.append(plant.asked())
        plant.now += 4
    assert asked == [ASKED, [], [], ASKED, []]


def test_nobody_is_asked_unless_that_is_wanted():
    plant = Plant()
    with pytest.raises(NodeFault):
        plant.send("NDATA")
    assert plant.asked() == []


def test_a_gap_in_the_numbers_asks_for_a_birth_and_loses_nothing():
    plant = Plant(rebirth=True)
    plant.send("NBIRTH", BIRTH, seq=254)
    assert plant.send("NDATA", [{"alias": 2, "int_value": 1}], seq=255)["metrics"] == {"Level": 1}
    plant.send("NDATA", seq=0)
    assert plant.asked() == []
    assert plant.send("NDATA", [{"alias": 2, "int_value": 2}], seq=2)["metrics"] == {"Level": 2}
    assert plant.asked() == ASKED


def test_deaths_make_forget():
    plant = Plant()
    plant.send("NBIRTH", BIRTH, seq=0)
    plant.send("DBIRTH", PUMP, device="pump", seq=1)
    assert plant.send("DDEATH", device="pump", seq=2)["type"] == "DDEATH"
    with pytest.raises(NodeFault, match="g/gw/pump is not born"):
        plant.send("DDATA", [{"alias": 3, "boolean_value": True}], device="pump", seq=3)
    late = [{"name": "bdSeq", "datatype": 4, "long_value": 0}]
    plant.send("NDEATH", late)
    assert plant.send("NDATA", [{"alias": 2, "int_value": 3}], seq=4)["metrics"] == {"Level": 3}
    plant.send("NDEATH", BIRTH[:1])
    with pytest.raises(NodeFault, match="g/gw is not born"):
        plant.send("NDATA", seq=5)


def test_a_second_birth_makes_the_first_void():
    plant = Plant()
    plant.send("NBIRTH", BIRTH, seq=0)
    plant.send("NBIRTH", [int32(1, name="Other", alias=1)], seq=0)
    assert plant.send("NDATA", [{"alias": 1, "int_value": 8}], seq=1)["metrics"] == {"Other": 8}
    with pytest.raises(NodeFault):
        plant.send("NDATA", [{"alias": 2, "int_value": 8}], seq=2)


def test_a_list_of_metrics_has_all_that_is_known():
    plant = Plant(metrics="list")
    properties = {"keys": ["unit", "limits"], "values": [{"type": 12, "string_value": "°C"}, {"is_null": True}]}
    metric = int32(1, name="Level", alias=2, timestamp=5, is_historical=True, properties=properties)
    assert plant.send("NBIRTH", [metric])["metrics"] == [
        {"name": "Level", "type": "Int32", "value": 1, "alias": 2, "timestamp": 5, "is_historical": True,
         "properties": {"unit": "°C", "limits": None}}
    ]  # fmt: skip


def test_data_sets_and_templates_become_rows_and_objects():
    rows = {"columns": ["a", "b"], "types": [3, 12], "rows": [
        {"elements": [{"int_value": 2**32 - 1}, {"string_value": "x"}]}, {"elements": [{}, {"string_value": "y"}]},
    ]}  # fmt: skip
    template = {"metrics": [{"name": "p", "datatype": 1, "int_value": 255}]}
    metrics = [
        {"name": "table", "datatype": 16, "dataset_value": rows},
        {"name": "udt", "datatype": 19, "template_value": template},
    ]
    assert Plant().send("NBIRTH", metrics)["metrics"] == {
        "table": [{"a": -1, "b": "x"}, {"a": None, "b": "y"}],
        "udt": {"p": -1},
    }


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        ("Int8", -128), ("Int16", -5), ("Int32", -(2**31)), ("Int64", -(2**63)), ("UInt8", 255), ("UInt16", 65535),
        ("UInt32", 2**32 - 1), ("UInt64", 2**64 - 1), ("Float", 1.5), ("Double", 0.1), ("Boolean", True),
        ("String", "°C"), ("Text", "x"), ("UUID", "u"), ("DateTime", 1_700_000_000_000),
        ("Int8Array", [-1, 1]), ("Int16Array", [-2]), ("Int32Array", [-3, 4]), ("Int64Array", [-5]),
        ("UInt8Array", [200]), ("UInt16Array", [60000]), ("UInt32Array", [2**32 - 1]), ("UInt64Array", [2**64 - 1]),
        ("FloatArray", [0.5, -0.5]), ("DoubleArray", [0.1]), ("DateTimeArray", [1]),
        ("BooleanArray", [True, False, True, True, False, False, True, False, True]), ("BooleanArray", []),
        ("StringArray", ["a", "", "°"]), ("Int32", None),
    ],
)  # fmt: skip
def test_a_value_of_each_type_goes_there_and_back(type_, value):
    document = {"timestamp": 5, "seq": 0, "metrics": [{"name": "m", "type": type_, "value": value}]}
    plant = Plant(metrics="list")
    ((made, head),) = plant.codec.encode(json.dumps(document).encode(), Head("a", "application/json"))
    assert head.content_type == "application/octet-stream"
    assert plant.raw(made, "spBv1.0/g/NBIRTH/gw") == {"type": "NBIRTH", "group": "g", "edgeNode": "gw", **document}


@pytest.mark.parametrize(
    "topic",
    ["plant/pump", "spBv1.0/g/NDATA", "spBv1.0/g/NDATA/gw/pump", "spBv1.0/g/DDATA/gw", "spBv1.0/g/XDATA/gw",
     "spAv1.0/g/NDATA/gw"],
)  # fmt: skip
def test_what_comes_by_another_topic_is_a_fault(topic):
    with pytest.raises(NodeFault, match="is no Sparkplug topic"):
        Plant().raw(b"", topic)


def test_commands_and_states_pass():
    plant = Plant()
    command = {"name": "Node Control/Rebirth", "datatype": 11, "boolean_value": True}
    assert plant.send("NCMD", [command])["metrics"] == {"Node Control/Rebirth": True}
    assert plant.raw(b'{"online": true}', "spBv1.0/STATE/scada") == {
        "type": "STATE", "host": "scada", "state": {"online": True},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("metric", "kind"),
    [
        ({"datatype": 99, "int_value": 1}, "format"),
        ({"datatype": 24, "bytes_value": b"123"}, "format"),
        ({"datatype": 32, "bytes_value": b"\xff\xff\xff\xff\x01"}, "format"),
        ({"datatype": 32, "bytes_value": b"\x01"}, "format"),
        ({"datatype": 33, "bytes_value": b"\xff\0"}, "format"),
        ({"datatype": 16, "dataset_value": {"columns": ["a"], "types": [3], "rows": [{}]}}, "format"),
        ({"datatype": 10, "double_value": float("nan")}, "format"),
        ({"datatype": 17, "bytes_value": bytes(80_000)}, "size"),
    ],
)
def test_a_metric_that_is_none_is_a_fault(metric, kind):
    with pytest.raises(NodeFault) as raised:
        Plant().send("NBIRTH", [{"name": "m", **metric}])
    assert raised.value.kind == kind


def test_a_long_name_behind_an_alias_does_not_multiply():
    """A message names one alias very often: what would come of it is more than a message may hold."""
    plant = Plant(metrics="list", limit=2_000_000)
    plant.send("NBIRTH", [int32(1, name="x" * 100_000, alias=1)], seq=0)
    with pytest.raises(NodeFault, match="payload holds more than"):
        plant.send("NDATA", [{"alias": 1, "int_value": 1}] * 1000, seq=1)


def test_what_is_remembered_is_bounded():
    nodes = EdgeNodes()
    for number in range(NODES_MAX + 10):
        nodes.born(("g", str(number)), EdgeNode(None))
        nodes.get(("g", "0"))
    assert nodes.get(("g", "0")) is not None
    assert nodes.get(("g", "1")) is None
    node = EdgeNode(None)
    for number in range(METRICS_MAX):
        node.learn(str(number), number, "Int32", None)
    with pytest.raises(NodeFault, match="more than 50000 metrics"):
        node.learn("one more", None, "Int32", None)


def test_requests_leave_by_an_arm_of_their_own_and_every_row_is_settled():
    plant = Plant(rebirth=True)
    operator = CodecOperator(plant.codec.decode, 10, plant.codec.requests)
    topics = ["spBv1.0/g/NDATA/gw", "spBv1.0/g/NBIRTH/gw", "spBv1.0/g/NDATA/gw", "spBv1.0/g/NDATA/gw"]
    data = payload([{"alias": 2, "int_value": 1}], seq=1)
    later = payload([{"alias": 2, "int_value": 1}], seq=9)
    batch = batch_of([data, payload(BIRTH, seq=0), data, later], topics=topics)
    plant.now = 0.0
    emission = operator.process(batch)
    documents, requests = emission.ports
    assert list(documents.seqs) == [1, 2, 3]
    assert [(seq, head.topic) for seq, head in zip(requests.seqs, requests.heads, strict=True)] == [
        (0, "spBv1.0/g/NCMD/gw")
    ]
    assert [list(fault.rows.seqs) for fault in emission.faults] == [[0]]
    assert list(emission.forked) == [0]


kinds = st.sampled_from(["NBIRTH", "NDATA", "NDEATH", "DBIRTH", "DDATA", "DDEATH", "NCMD"])
metrics = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["a", "b", "bdSeq"]), "alias": st.integers(0, 3), "datatype": st.integers(0, 40),
        "int_value": st.integers(0, 2**32 - 1), "is_null": st.booleans(), "bytes_value": st.binary(max_size=9),
    },
)  # fmt: skip
messages = st.tuples(kinds, st.lists(metrics, max_size=4), st.integers(0, 300), st.binary(max_size=3))


@settings(max_examples=200, deadline=None)
@given(st.lists(messages, max_size=8), st.booleans())
def test_no_course_of_messages_ends_in_anything_but_documents_or_faults(course, as_list):
    plant = Plant(metrics="list" if as_list else "values", rebirth=True)
    for kind, given_metrics, seq, tail in course:
        topic = f"spBv1.0/g/{kind}/gw{'/d' if kind.startswith('D') else ''}"
        try:
            found = plant.raw(payload(given_metrics, seq=seq) + tail, topic)["type"]
        except NodeFault as fault:
            found = fault.kind
        assert found in (kind, "format", "size")
        assert len(plant.asked()) <= 1
