"""The unit file is part of the product."""

import subprocess
from pathlib import Path

import pytest

DEPLOY = Path(__file__).parents[2] / "deploy"
UNIT = "flowrt@.service"
LOCKED_DOWN = f"{UNIT}.d/locked-down.conf"
EXPOSURE_TENTHS = 15
"""What is left is what a graph needs: IP, local sockets, priorities, /proc/cpuinfo, a control group. systemd's worst is
100; 252 gives 14, and versions differ by one."""


@pytest.fixture
def unit(tmp_path):
    """The unit as an instance, with a program that exists in the place of flowrt's."""
    path = tmp_path / "flowrt@pump.service"
    program = tmp_path / "flowrt"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    path.write_text((DEPLOY / UNIT).read_text().replace("/opt/flowrt/bin/flowrt", str(program)))
    return path


def analyze(systemd_analyze, *arguments):
    done = subprocess.run([systemd_analyze, *arguments], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def lock_down(unit):
    folder = unit.with_name(f"{unit.name}.d")
    folder.mkdir()
    (folder / "locked-down.conf").write_text((DEPLOY / LOCKED_DOWN).read_text())


def test_systemd_has_nothing_to_object(systemd_analyze, unit):
    lock_down(unit)
    assert analyze(systemd_analyze, "verify", "--man=no", str(unit)) == (0, "")


@pytest.mark.parametrize("mode", ["compiled", "locked down"])
def test_the_exposure_is_no_higher_than_it_need_be(systemd_analyze, unit, mode):
    if mode == "locked down":
        lock_down(unit)
    status, report = analyze(systemd_analyze, "security", "--offline=true", f"--threshold={EXPOSURE_TENTHS}", str(unit))
    assert status == 0, report


def settings(path):
    """Key and value of each setting, in order."""
    lines = path.read_text().splitlines()
    return [tuple(line.split("=", 1)) for line in lines if line and line[0] not in "#["]


def test_every_hardening_line_stands_below_its_reason():
    text = (DEPLOY / UNIT).read_text().split("# --- Hardening.")[1].split("[Install]")[0]
    for group in text.split("\n# ")[1:]:
        reason, *lines = group.splitlines()
        assert len(reason) > 15
        assert len([line for line in lines if "=" in line and not line.startswith("#")]) <= 3


def test_the_file_is_checked_before_a_start_and_before_a_reload():
    unit = settings(DEPLOY / UNIT)
    check = "/opt/flowrt/bin/flowrt check /etc/flowrt/%i.yaml"
    assert ("ExecStartPre", check) in unit
    assert [value for key, value in unit if key == "ExecReload"] == [check, "/bin/kill -HUP $MAINPID"]


def test_executable_memory_is_forbidden_only_together_with_the_interpreter():
    assert "MemoryDenyWriteExecute" not in dict(settings(DEPLOY / UNIT))
    assert settings(DEPLOY / LOCKED_DOWN) == [
        ("Environment", "FLOWRT_INTERPRETER=1"),
        ("MemoryDenyWriteExecute", "yes"),
    ]


def test_the_user_of_the_unit_is_the_one_that_is_made(tmp_path, systemd_sysusers):
    (tmp_path / "etc").mkdir()
    subprocess.run([systemd_sysusers, f"--root={tmp_path}", str(DEPLOY / "flowrt.sysusers")], check=True)
    users = [line.split(":") for line in (tmp_path / "etc/passwd").read_text().splitlines()]
    assert [(user[0], user[5], user[6]) for user in users] == [("flowrt", "/var/lib/flowrt", "/usr/sbin/nologin")]
    assert dict(settings(DEPLOY / UNIT))["User"] == "flowrt"
