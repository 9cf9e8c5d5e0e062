"""docs/install.md works as written, with `/` moved to a scratch folder and stand-ins for programs that need root."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from brokers import Broker, needs_broker
from waiting import until

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/install.md"
STAND_INS = ("apt-get", "systemctl", "journalctl", "systemd-sysusers", "systemd-analyze", "curl")
"""What would change this machine, or asks a service manager that is not there."""


def commands():
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines()]


@pytest.fixture
def gateway(tmp_path):
    """Runs a command of the page in a scratch system, and tells what the stand-ins were asked."""
    programs = tmp_path / "programs"
    (tmp_path / "etc/systemd/system").mkdir(parents=True)
    programs.mkdir()
    for name in STAND_INS:
        (programs / name).write_text(f'#!/bin/sh\necho {name} "$@" >> {tmp_path}/asked\n')
        (programs / name).chmod(0o755)
    (programs / "python3").symlink_to(sys.executable)
    environment = {**os.environ, "PATH": f"{programs}:{os.environ['PATH']}", "PIP_DISABLE_PIP_VERSION_CHECK": "1"}

    def run(command):
        moved = re.sub(r"(?<![\w.])/(opt|etc|var)/", rf"{tmp_path}/\1/", command.removeprefix("sudo "))
        return subprocess.run(moved, shell=True, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)

    return run


def test_the_page_names_only_files_of_the_repository():
    for command in commands():
        for word in shlex.split(command):
            if word.startswith(("deploy/", "graphs/", "modules/")):
                assert (ROOT / word).exists(), command


@needs_broker
@pytest.mark.timeout(600)
def test_the_commands_lead_to_a_service_that_works(gateway, tmp_path):
    if gateway(f"{shlex.quote(sys.executable)} -m pip download --no-deps --dest {tmp_path} iniconfig").returncode:
        pytest.skip("the package index cannot be reached")
    for command in commands():
        done = gateway(command)
        assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"

    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked[0] == "apt-get install --yes python3-venv mosquitto"
    assert "systemctl enable --now flowrt@pump" in asked

    unit = (tmp_path / "etc/systemd/system/flowrt@.service").read_text()
    start = re.search(r"^ExecStart=(.*)$", unit, re.MULTILINE)[1].replace("%i", "pump")
    start = start.replace("${FLOWRT_METRICS}", "127.0.0.1:0").replace("/opt/", f"{tmp_path}/opt/")
    state = {"STATE_DIRECTORY": str(tmp_path / "state"), "CACHE_DIRECTORY": str(tmp_path / "cache")}
    with Broker() as broker, (tmp_path / "log").open("w") as log:
        environment = {**os.environ, **state, "BROKER_PORT": str(broker.port)}
        command = shlex.split(start.replace("/etc/", f"{tmp_path}/etc/"))
        process = subprocess.Popen(command, env=environment, cwd="/", stdout=log, stderr=log)
        try:
            until(lambda: process.poll() is None and "\nready\n" in (tmp_path / "log").read_text(), seconds=60)
        finally:
            process.terminate()
            assert process.wait(30) == 0
    shutil.rmtree(tmp_path / "opt")
