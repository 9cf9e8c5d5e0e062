"""What users write, as values: made by validation or by default, never changed, compared and copied."""

import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from flowrt.endpoints.mqtt.config import MqttOptions, Reconnect, Tls
from flowrt.graph.model import ModuleConfiguration
from flowrt.graph.reading import read
from flowrt.operators.map import MapOperation
from flowrt.options.text import text_of
from flowrt.options.validation import modelled, value_of
from flowrt.quota.resources import Resources

GRAPHS = sorted(Path(__file__).parents[2].joinpath("graphs").rglob("*.yaml"))
WRITTEN = {"host": "h", "keepAlive": "5s", "reconnect": {"max": "1m"}, "tls": {"ca": "/ca.pem"}}


def test_a_value_is_of_the_class_that_was_declared_all_the_way_down():
    found = MqttOptions.model_validate(WRITTEN)
    assert (type(found), type(found.reconnect), type(found.tls)) == (MqttOptions, Reconnect, Tls)
    assert (found.keep_alive, found.reconnect.max, found.reconnect.min) == (5.0, 60.0, 0.2)
    assert found.model_fields_set == {"host", "keep_alive", "reconnect", "tls"}


def test_mistakes_are_found_all_at_once():
    with pytest.raises(ValidationError) as error:
        MqttOptions.model_validate({"port": 70000, "reconnect": {"min": "2s", "max": "1s"}, "prot": 1})
    assert {details["loc"] for details in error.value.errors()} == {("host",), ("port",), ("reconnect",), ("prot",)}


def test_what_a_program_makes_is_validated_too():
    assert MqttOptions(host="h", reconnect=Reconnect(max="1m")).reconnect.max == 60.0
    with pytest.raises(ValidationError, match="less than or equal to 65535"):
        MqttOptions(host="h", port=70000)


def test_values_are_compared_by_what_they_hold_and_never_changed():
    one, other = MqttOptions(host="h"), MqttOptions(host="h", port=None)
    made = MqttOptions.model_construct(host="h")
    assert one == other == made
    assert hash(one) == hash(other) == hash(made)
    assert text_of(one) == text_of(other) == text_of(made)
    assert one != MqttOptions(host="i")
    assert one != Resources.by_default()
    with pytest.raises(AttributeError, match=r"MqttOptions\.host is never changed"):
        one.host = "i"


def test_a_copy_knows_what_was_given():
    copied = MqttOptions(host="h").model_copy(update={"port": 1})
    assert (copied.host, copied.port, copied.model_fields_set) == ("h", 1, {"host", "port"})


def test_a_value_goes_through_pickle_with_what_was_given():
    found = pickle.loads(pickle.dumps(MqttOptions.model_validate(WRITTEN)))
    assert found == MqttOptions.model_validate(WRITTEN)
    assert found.model_fields_set == {"host", "keep_alive", "reconnect", "tls"}


def test_options_nobody_declared_are_kept_where_that_is_allowed():
    given = {"name": "n", "parameters": {}, "more": [1]}
    found = ModuleConfiguration.model_validate(given)
    assert found.model_extra == {"more": [1]}
    assert modelled(found).model_dump(by_alias=True, exclude_unset=True) == given


@pytest.mark.parametrize("path", GRAPHS, ids=lambda path: path.name)
def test_a_file_survives_the_way_to_pydantic_and_back(path):
    graph = read(path.read_bytes(), str(path), {}, {}).graph
    assert value_of(modelled(graph.file)) == graph.file


def test_the_text_of_options_says_what_is_not_at_its_default():
    operation = MapOperation.model_validate(
        {"operationType": "map", "name": "n", "module": "m", "grants": [], "resources": {"cpu": "250m", "inbox": 4096}}
    )
    assert text_of(operation) == '{"module":"m","name":"n","operation_type":"map","resources":{"cpu":0.25}}'
    assert text_of(operation, but={"name", "resources"}) == '{"module":"m","operation_type":"map"}'
    assert text_of(operation, only={"name"}) == '{"name":"n"}'
    assert text_of(Tls(ca="/a")) == '{"ca":"/a"}'
