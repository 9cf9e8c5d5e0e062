"""A link that breaks while a client connects says nothing about what the broker can do."""

from time import monotonic, sleep

from brokers import Broker, needs_broker

from benchmarks.faults.proxy import Proxy
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.registry import Endpoints
from flowrt.events import EndpointConnected, EndpointLost
from flowrt.operators.sink import SinkOperation

pytestmark = needs_broker


def eventually(condition):
    until = monotonic() + 20
    while not condition():
        assert monotonic() < until
        sleep(0.002)


def connects_with_5(data):
    return data[:1] == b"\x10" and b"\0\4MQTT\5" in data


def test_a_broker_that_has_spoken_mqtt_5_is_spoken_to_in_it_again():
    """MQTT 3.1.1 would cost the session, what it knows of QoS 2, and all user properties."""
    with Broker() as broker:
        link, events = Proxy(broker.port), []
        options = MqttOptions(
            host="127.0.0.1", port=link.port, client_id="flaky", reconnect={"min": "10ms", "max": "20ms"}
        )
        sink = Endpoints("g", {"plant": options}, emit=events.append).sink(
            SinkOperation(operation_type="sink", name="out", endpoint="plant", topic="out", spool={"enabled": False})
        )
        sink.start()
        try:
            eventually(sink.ready)
            link.object_to(connects_with_5)
            link.cut()
            link.restore()
            eventually(lambda: sum("CONNECT" in str(one) for one in events if isinstance(one, EndpointLost)) >= 3)
            link.object_to(None)
            eventually(sink.ready)
        finally:
            sink.close()
            link.close()
    spoken = [one.detail.partition(",")[0] for one in events if isinstance(one, EndpointConnected)]
    assert spoken == ["MQTT 5", "MQTT 5"]
