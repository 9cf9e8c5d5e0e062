"""Programs the gateway's operator would use, where they are installed."""

import shutil

import pytest


def _program(name, package):
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed: apt-get install {package}")
    return path


@pytest.fixture
def promtool():
    return _program("promtool", "prometheus")


@pytest.fixture
def prometheus():
    return _program("prometheus", "prometheus")


@pytest.fixture
def systemd_analyze():
    return _program("systemd-analyze", "systemd")


@pytest.fixture
def systemd_sysusers():
    return _program("systemd-sysusers", "systemd")
