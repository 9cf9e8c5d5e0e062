"""Makes the helpers in this folder importable by every test (`from brokers import Broker`)."""
