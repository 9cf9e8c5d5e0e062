"""The embedded broker, with a plain client."""

import socket

import pytest

from flowrt.demo.broker import EmbeddedBroker
from flowrt.demo.client import Client
from flowrt.errors import StartError


def test_messages_at_qos_1_arrive_in_order():
    with EmbeddedBroker() as broker, Client(broker.host, broker.port, v5=False) as client:
        client.subscribe("plant/+/pump")
        for row in range(200):
            client.publish("plant/a/pump", {"score": row, "alert": False}, row)
        assert [client.verdicts.get(timeout=10).score for _ in range(200)] == list(range(200))


def test_an_mqtt_5_client_is_told_at_once_that_its_version_is_not_spoken():
    with EmbeddedBroker() as broker, socket.create_connection((broker.host, broker.port), 5) as raw:
        raw.sendall(bytes.fromhex("100f00044d51545405020019000000026162"))
        assert raw.recv(64) == bytes.fromhex("2003008400")
        assert raw.recv(64) == b""
    with EmbeddedBroker() as broker, pytest.raises(StartError, match="Unsupported protocol version"):
        Client(broker.host, broker.port, v5=True).__enter__()


@pytest.mark.parametrize("nonsense", [b"GET / HTTP/1.1\r\n\r\n", b"\x10\xff\xff\xff\xff\xff", b"\x10\x00", b""])
def test_nonsense_disturbs_nobody(nonsense: bytes):
    with EmbeddedBroker() as broker:
        with socket.create_connection((broker.host, broker.port), 5) as raw:
            raw.sendall(nonsense)
        with Client(broker.host, broker.port, v5=False) as client:
            client.subscribe("#")


def test_a_port_in_use_is_reported_and_a_closed_one_free_again():
    with EmbeddedBroker() as broker:
        address = broker.address
        with pytest.raises(StartError, match=address), EmbeddedBroker(address):
            pass
    with EmbeddedBroker(address) as again:
        assert again.address == address
    again.close()


@pytest.mark.parametrize("address", ["1883", "localhost:", "localhost:x", "localhost:70000"])
def test_an_address_is_host_and_port(address: str):
    with pytest.raises(ValueError, match="write HOST:PORT"):
        EmbeddedBroker(address)
