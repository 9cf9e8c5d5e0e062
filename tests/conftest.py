"""Makes the helpers in this folder importable by every test (`from brokers import Broker`)."""

import faulthandler
import os
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")  # a machine that others use as well proves nothing by its clock


@pytest.hookimpl(trylast=True)
def pytest_configure(config):
    """A process of several that crashes says where: its own output is kept for a report that it can no longer make."""
    if hasattr(config, "workerinput"):
        with suppress(OSError):
            config.said = Path(f"/proc/{os.getppid()}/fd/2").open("ab", buffering=0)  # noqa: SIM115 - to its end
            faulthandler.enable(config.said)
