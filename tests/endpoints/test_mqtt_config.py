import subprocess
import sys

import pytest
from pydantic import ValidationError

from flowrt.endpoints.mqtt.config import MqttOptions


def test_a_full_endpoint() -> None:
    options = MqttOptions.model_validate(
        {
            "host": "broker",
            "clientId": "pump",
            "sessionExpiry": "1h",
            "tls": {"ca": "/ca.pem", "cert": "/c.pem", "key": "/c.key", "keyPasswordFile": "/p"},
            "credentials": {"usernameFile": "/u", "passwordCredential": "mqtt"},
            "will": {"topic": "state", "payload": "off"},
            "reconnect": {"min": "100ms", "max": "10s"},
            "maximumPacket": "1Mi",
        }
    )
    assert (options.address, options.session_expiry, options.maximum_packet) == ("broker:8883", 3600.0, 2**20)


@pytest.mark.parametrize(
    "wrong",
    [
        {"will": {"topic": "a/#"}},
        {"tls": {"key": "/k"}},
        {"credentials": {"username": "a", "usernameFile": "/u"}},
        {"credentials": {"password": "secret"}},
        {"reconnect": {"min": "10s", "max": "1s"}},
        {"port": 0},
        {"version": "4"},
    ],
)
def test_mistakes(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        MqttOptions.model_validate({"host": "h", **wrong})


def test_reading_a_graph_imports_no_mqtt_library() -> None:
    code = "import sys, flowrt.endpoints.registry; sys.exit('paho' in sys.modules or 'mqtt5' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
