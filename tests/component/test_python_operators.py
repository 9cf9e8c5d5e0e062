"""Operators in Python: the template word for word, and one in the style of AIO's documentation, in one component.

Building and compiling it takes most of a minute of a core. It happens once: what was made of the same sources is kept
in pytest's cache.
"""

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from component_guests import batch

from flowrt.errors import GuestTrap
from flowrt.guests import python
from flowrt.guests.build import build
from flowrt.wasm.cache import CodeCache

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "modules" / "aio-python" / "celsius" / "app.py"
DOCUMENTED = """
import encodings.idna  # what is not imported while the component is made is not there later
import socket

from branch_impl import exports, imports
from branch_impl.imports import types
from branch_impl.types import Err
from template import Filter, Map  # the template's operators, which stand in a file beside this one

calls = 0

class Branch(exports.Branch):
    def init(self, configuration):
        imports.logger.log(imports.logger.Level.INFO, "module/branch", "Init invoked")
        self.least = dict(configuration.properties)["least"]
        return True

    def process(self, timestamp, message):
        global calls
        calls += 1
        payload = message.value.payload
        if isinstance(payload, types.BufferOrBytes_Buffer):
            payload = payload.value.read()
        else:
            payload = payload.value
        if payload == b"bad":
            raise Err(types.Error("as documented"))
        if payload == b"worse":
            raise ValueError("not as documented")
        if payload == b"state":
            raise Err(types.Error(f"call {calls}, {getattr(self, 'least', 'lost')}"))
        if payload.startswith(b"connect "):
            raise Err(types.Error(connected(int(payload.split()[1]))))
        return len(payload) > 500

def connected(port):
    tried = []
    for connect in (socket.create_connection, lambda address: socket.socket().connect(address)):
        try:
            connect(("127.0.0.1", port))
        except OSError as error:
            tried.append(error.strerror)
    return ", ".join(tried)
"""

pytest.importorskip("componentize_py")
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="session")
def kept(pytestconfig):
    """A folder for what was made of these sources by this compiler."""
    sources = [DOCUMENTED, TEMPLATE.read_text(), Path(python.__file__).read_text(), version("componentize-py")]
    sources += [path.read_text() for path in sorted((ROOT / "modules" / "sdk" / "wit").rglob("*.wit"))]
    folder = pytestconfig.cache.mkdir("operators-" + hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16])
    for older in set(folder.parent.glob("operators-*")) - {folder}:
        shutil.rmtree(older, ignore_errors=True)  # 60 MB each
    return folder


@pytest.fixture(scope="session")
def code(kept, tmp_path_factory):
    """The component."""
    made = kept / "operators.wasm"
    if not made.is_file():
        folder = tmp_path_factory.mktemp("python")
        (folder / "operators").mkdir()
        (folder / "operators" / "module.toml").write_text("""language = "python"
operators = ["map", "filter", "branch"]
""")
        (folder / "operators" / "app.py").write_text(DOCUMENTED)
        shutil.copy(TEMPLATE, folder / "operators" / "template.py")
        (built,) = build(folder, folder / "out")
        assert built.error is None
        shutil.copy(built.path, made)
    return made.read_bytes()


@pytest.fixture
def operator(guest, code, kept):
    """`operator(kind, properties)`: an instance."""
    guest.cache = CodeCache(kept / "flowrt")
    return lambda kind, properties=(): guest(code, kind, properties, deadline="60s")


def test_the_templates_map(operator):
    output = operator("map").map(batch(b'{"f": 212}', b"{}", b'{"f": 50, "more": "' + b"x" * 1000 + b'"}'))
    assert [json.loads(payload)["c"] for payload in output.payloads] == [100, 10]
    assert output.errors == {1: "no number at f: 'f'"}


def test_the_templates_filter(operator, guest):
    filtering = operator("filter", [("least", "15")])
    verdicts, errors = filtering.decide("filter", batch(b'{"c": 14.9}', b'{"c": 15}', b"no JSON"))
    assert (verdicts, list(errors)) == (b"\0\1\0", [2])
    assert list(guest.metrics.series.values()) == [1]
    with pytest.raises(GuestTrap, match="init refused"):
        operator("filter", [("least", "warm")])


def test_the_documented_style(operator, guest):
    """What `init` puts on `self` is gone in `process`, module globals stay; `Err` costs a message, any other exception
    the instance."""
    instance = operator("branch", [("least", "15")])
    verdicts, errors = instance.decide("branch", batch(b"short", b"bad", b"x" * 1000, b"state"))
    assert verdicts == b"\0\0\1\0"
    assert errors == {1: "as documented", 3: "call 4, lost"}
    with pytest.raises(GuestTrap, match="trap"):
        instance.decide("branch", batch(b"worse"))
    texts = [text for _, text in guest.texts()]
    assert "module/branch: Init invoked" in texts
    assert any("not as documented" in text for text in texts)


GRAPH = """\
metadata: {name: celsius, version: 1.0.0}
moduleRequirements: {apiVersion: "1.1.0", runtimeVersion: "1.1.0"}
endpoints: [{name: lines, file: {path: in.txt}}, {name: out, file: {path: out.txt}}]
operations:
  - {operationType: source, name: in, endpoint: lines}
  - {operationType: map, name: celsius, module: operators, resources: {deadline: 60s}}
  - {operationType: filter, name: warm, module: operators, resources: {deadline: 60s}}
  - {operationType: sink, name: out, endpoint: out}
connections:
  - {from: {name: in}, to: {name: celsius}}
  - {from: {name: celsius}, to: {name: warm}}
  - {from: {name: warm}, to: {name: out}}
moduleConfigurations:
  - {name: warm, parameters: {least: {name: least, default: "30"}}}
"""


def test_a_graph_of_it_runs(code, kept, tmp_path):
    (tmp_path / "operators.wasm").write_bytes(code)
    (tmp_path / "g.yaml").write_text(GRAPH)
    (tmp_path / "in.txt").write_text('{"f": 212}\nno JSON\n{"f": 50}\n')
    done = subprocess.run(
        [Path(sys.executable).with_name("flowrt"), "run", "g.yaml", "--modules", ".", "--state", "state"],
        cwd=tmp_path, env={**os.environ, "XDG_CACHE_HOME": str(kept)}, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["c"] for line in (tmp_path / "out.txt").read_text().splitlines()] == [100]
    assert "no number at f" in done.stderr


def test_a_socket_is_refused_and_counted(operator, guest):
    """Every component made of Python imports sockets."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        _, errors = operator("branch", [("least", "1")]).decide(
            "branch", batch(b"connect %d" % server.getsockname()[1])
        )
        with pytest.raises(TimeoutError):
            server.accept()
    assert errors == {0: "Permission denied, Permission denied"}
    refused = {"resolve-addresses": 1, "create-tcp-socket": 1}
    assert guest.counters.denied | refused == guest.counters.denied
