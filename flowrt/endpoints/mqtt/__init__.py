"""MQTT endpoints. paho-mqtt holds the session; messages pass it by, in bulk (`transport.py`)."""
