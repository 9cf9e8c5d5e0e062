"""A gateway has no compiler: every runtime dependency comes as a wheel for it."""

import json
import subprocess
import sys
import tomllib

import pytest
from source import ROOT

GLIBC_MINORS = range(17, 37)
"""manylinux2014 to Debian 12 and Raspberry Pi OS of the same age, which have glibc 2.36."""


def resolve(target, *requirements):
    """Names of the wheels pip would install, without installing any; None when it finds no set of them."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--retries=0", "--timeout=10"]
    done = subprocess.run([*command, *target, *requirements], capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    return {item["metadata"]["name"]: item["download_info"]["url"] for item in json.loads(done.stdout)["install"]}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("python", ["3.11", "3.13"])
def test_every_runtime_dependency_has_a_wheel_for_aarch64(python, tmp_path):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    requirements = [*project["dependencies"], *extras["formats"], *extras["schema"]]
    target = [f"--target={tmp_path}", f"--python-version={python}", "--implementation=cp"]
    target += [f"--platform=manylinux_2_{minor}_aarch64" for minor in GLIBC_MINORS]
    target += ["--platform=manylinux2014_aarch64"]
    wheels = resolve(target, *requirements)
    if wheels is None and resolve([], "iniconfig") is None:
        pytest.skip("the package index cannot be reached")
    assert wheels is not None
    assert {"wasmtime", "onnxruntime", "numpy", "pydantic_core", "mqtt5"} <= {name.replace("-", "_") for name in wheels}
