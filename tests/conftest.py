"""Makes the helpers in this folder importable by every test (`from brokers import Broker`)."""

from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # a machine that others use as well proves nothing by its clock
