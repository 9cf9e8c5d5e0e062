"""A connection that is open on this side only: found out long before the keep-alive is over, and what is under way is
spooled."""

import pytest
from brokers import MOSQUITTO, Broker
from peers import eventually, peer

from flowrt.delivery.tracker import Tracker
from flowrt.endpoints.mqtt.config import MqttOptions
from flowrt.endpoints.mqtt.silence import Silence
from flowrt.endpoints.registry import Endpoints
from flowrt.events import EndpointLost
from flowrt.operators.sink import SinkOperation
from flowrt.testing import batch_of

SECONDS = 10.0


def test_a_broker_is_asked_after_half_of_the_time_and_has_the_other_half_to_answer():
    silence = Silence(SECONDS)

    assert not silence.due(4.9, last_received=0.0)
    assert silence.due(5.0, last_received=0.0)
    silence.asked(5.0, question=100, arrived=100)
    assert not silence.due(6.0, last_received=0.0)  # one question at a time
    assert silence.pending(0.0)
    assert not silence.broken(10.0, arrived=100)
    assert silence.broken(10.1, arrived=100)


def test_any_word_is_an_answer():
    silence = Silence(SECONDS)
    silence.asked(5.0, question=100, arrived=100)

    assert not silence.pending(last_received=5.5)
    assert not silence.due(6.0, last_received=5.5)
    assert silence.due(10.5, last_received=5.5)


def test_a_question_behind_much_that_still_arrives_waits_until_it_is_there():
    silence = Silence(SECONDS)
    silence.asked(5.0, question=1_000_000, arrived=0)

    for second in range(6, 51):
        assert not silence.broken(float(second), arrived=second * 20_000)  # a slow link
    assert not silence.broken(55.0, arrived=1_100_000)  # the question arrived at 50
    assert silence.broken(55.1, arrived=2_000_000)  # what arrives behind it counts for nothing


def test_a_link_on_which_nothing_arrives_is_broken_as_soon():
    silence = Silence(SECONDS)
    silence.asked(5.0, question=100, arrived=40)

    assert not silence.broken(9.0, arrived=40)
    assert silence.broken(10.1, arrived=40)


@pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")
def test_what_a_silent_broker_has_is_spooled_long_before_the_keep_alive_is_over(tmp_path):
    released, events = [], []
    tracker = Tracker(released.append)
    with Broker() as broker, peer(broker, "t") as other:
        options = {"host": broker.host, "port": broker.port, "keepAlive": "600s", "answerTimeout": "1s"}
        options |= {"clientId": "silent", "connectTimeout": "1s", "reconnect": {"min": "20ms", "max": "200ms"}}
        given = MqttOptions.model_validate(options)
        endpoints = Endpoints("g", {"plant": given}, emit=events.append, state=tmp_path)
        operation = {
            "operationType": "sink",
            "name": "t",
            "endpoint": "plant",
            "topic": "t",
            "spool": {"after": "50ms"},
        }
        sink = endpoints.sink(SinkOperation.model_validate(operation), lambda *_: None)
        sink.start()
        sink.send(batch_of([b"one"], topics=["t"], tracker=tracker))
        eventually(lambda: sum(released) == 1)
        with broker.paused():
            sink.send(batch_of([b"two"], topics=["t"], tracker=tracker))
            eventually(lambda: sum(released) == 2, f"{events}")  # it is on disk
            assert sink.counters.silent == 1
            assert any(isinstance(event, EndpointLost) and "silent" in event.reason for event in events)
        assert other.expect(2)[:2] == [b"one", b"two"]
        sink.close()
