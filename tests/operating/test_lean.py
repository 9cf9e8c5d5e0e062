"""What of other packages is loaded when somebody asks it for something, and is then what it always is."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from flowrt.cli.lean import PUT_OFF


def in_a_process_of_its_own(code: str) -> object:
    """What `code` puts into `found`. Here everything is imported already."""
    text = f"import json, sys\nfrom flowrt.cli.lean import put_off\n{code}\nprint(json.dumps(found))"
    run = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


NAMES = "import {0}\nfound = sorted(name for name in vars(sys.modules['{0}']) if not name.startswith('__'))"


@pytest.mark.parametrize("module", PUT_OFF)
def test_one_that_is_asked_has_all_its_names(module):
    put_off = f"put_off()\nimport {module}\nassert type(sys.modules['{module}']).__name__ == '_Later'\n"
    ask = f"getattr(sys.modules['{module}'], 'no_such_name', None)\n"

    assert in_a_process_of_its_own(put_off + ask + NAMES.format(module)) == in_a_process_of_its_own(
        NAMES.format(module)
    )


def test_importing_what_a_gateway_does_loads_none_of_them():
    found = in_a_process_of_its_own("""
put_off()
import numpy, paho.mqtt.client
import flowrt.values
numpy.linalg.inv(numpy.eye(2)) + numpy.add.reduce(numpy.ones(3))
found = sorted(name for name, module in sys.modules.items() if type(module).__name__ == "_Later")""")

    assert found == sorted(PUT_OFF)


def test_they_do_what_they_do():
    found = in_a_process_of_its_own("""
put_off()
import msgspec, numpy, numpy.typing, urllib.request
found = [
    msgspec.json.encode({"a": [1]}).decode(),
    urllib.request.urlopen("data:,hello").read().decode(),
    repr(numpy.typing.NDArray[numpy.float32]),
]""")

    assert found[:2] == ['{"a":[1]}', "hello"]
    assert "numpy.ndarray" in found[2]


def test_threads_that_ask_at_the_same_time_see_it_run_once(tmp_path):
    (tmp_path / "slow.py").write_text(
        "import time\nruns = globals().get('runs', 0) + 1\ntime.sleep(0.05)\nname = 'slow'\n"
    )

    found = in_a_process_of_its_own(f"""
import threading
from flowrt.cli.lean import PUT_OFF
sys.path.insert(0, {str(tmp_path)!r})
PUT_OFF["slow"] = {{}}
put_off()
put_off()
import slow
found = []
threads = [threading.Thread(target=lambda: found.append((slow.name, slow.runs))) for _ in range(8)]
for thread in threads: thread.start()
for thread in threads: thread.join()""")

    assert found == [["slow", 1]] * 8


def test_what_is_not_there_is_missed_as_ever():
    found = in_a_process_of_its_own("""
from flowrt.cli.lean import PUT_OFF
PUT_OFF["no_such_module"] = {}
put_off()
import urllib.request
found = []
for ask in (lambda: __import__("no_such_module"), lambda: urllib.request.no_such_name):
    try:
        ask()
    except (ImportError, AttributeError) as error:
        found.append(f"{type(error).__name__}: {error}")""")

    assert found == [
        "ModuleNotFoundError: No module named 'no_such_module'",
        "AttributeError: module 'urllib.request' has no attribute 'no_such_name'",
    ]
